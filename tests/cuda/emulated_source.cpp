// Where this is linked, CUDA devices are the emulator's.

#include "cuda/device_source.h"
#include "emulated_device.h"

namespace {

int count_devices()
{
  return 1;
}

std::unique_ptr<transip::cuda::Device> open_device(int)
{
  return std::make_unique<emulated::Device>();
}

std::unique_ptr<transip::cuda::Device> borrow_device(void *, void *)
{
  return std::make_unique<emulated::Device>();
}

[[maybe_unused]] const bool taken = [] {
  transip::cuda::set_device_source({count_devices, open_device, borrow_device});
  return true;
}();

}  // namespace
