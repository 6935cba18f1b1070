// Where CUDA devices come from. Internal to libtransip.
#pragma once

#include "device.h"

#include <memory>

namespace transip::cuda {

/// CUDA's driver or, in test programs, what stands in for it.
struct DeviceSource {
  /// How many devices there are; 0 without a driver.
  int (*count)();
  /// One of them. Throws Error: it cannot be used.
  std::unique_ptr<Device> (*open)(int number);
  /// The one of a context that a host program has made (gpu.h, borrow_gpu).
  std::unique_ptr<Device> (*borrow)(void *context, void *stream);
};

/// The driver, unless another source has been set.
const DeviceSource &device_source();

/// Take devices from another source from now on; for test programs.
void set_device_source(const DeviceSource &source);

}  // namespace transip::cuda
