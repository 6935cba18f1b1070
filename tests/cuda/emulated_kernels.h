// The kernels for a few shapes, compiled for the CPU.
#pragma once

#include "cuda/plan.h"

#include <string>

namespace emulated {

/// One thread's part of a kernel; the step is a transip::cuda::Step of the shape's precision.
using Thread = void (*)(transip::cuda::StepKernel kernel, const void *step, int layer);

/// The kernels of a shape; null: there are none.
Thread find_kernels(const std::string &type);

}  // namespace emulated
