#include "device_source.h"

#include "evaluate/torch_library.h"
#include "gpu.h"

namespace transip::cuda {

namespace {

DeviceSource &chosen()
{
  static DeviceSource source{driver_devices, open_gpu, borrow_gpu};
  return source;
}

}  // namespace

const DeviceSource &device_source()
{
  return chosen();
}

void set_device_source(const DeviceSource &source)
{
  chosen() = source;
}

}  // namespace transip::cuda
