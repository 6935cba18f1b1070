// A GPU, by way of CUDA's driver. Internal to libtransip.
#pragma once

#include "device.h"

namespace transip::cuda {

/// GPU of this number, as CUDA_VISIBLE_DEVICES counts them. The driver is opened when it is first wanted.
///
/// Throws Error: no driver, none that is new enough, no such GPU.
std::unique_ptr<Device> open_gpu(int number);

}  // namespace transip::cuda
