// A GPU, by way of CUDA's driver. Internal to libtransip.
#pragma once

#include "device.h"

namespace transip::cuda {

/// GPU of this number, as CUDA_VISIBLE_DEVICES counts them. The driver is opened when it is first wanted.
///
/// Throws Error: no driver, none that is new enough, no such GPU.
std::unique_ptr<Device> open_gpu(int number);

/// The GPU of a context (CUcontext) that a host program has made, and that must live longer; all copies and kernels go
/// into the stream (CUstream) that `Device::set_stream` was given last.
///
/// Throws Error: no driver, a driver that does not take the context.
std::unique_ptr<Device> borrow_gpu(void *context, void *stream);

}  // namespace transip::cuda
