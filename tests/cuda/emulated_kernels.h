// The kernels for a few shapes, compiled for the CPU.
#pragma once

#include "cuda/plan.h"

#include <string>

namespace emulated {

/// One thread's part of a kernel of a file, by its number there; the argument is that of the file's kernels.
using Thread = void (*)(int kernel, const void *argument, int part);

/// The kernels of a file for a shape; null: there are none.
Thread find_kernels(const std::string &type, transip::cuda::NetworkFile file);

/// From now on rows of the arrays of all layers are one shorter in the kernels than on the host: for a test of what finds
/// that.
void plant_missing_row();

/// The kernels that do not depend on the network.
Thread find_kernels(transip::cuda::KernelFile file);

}  // namespace emulated
