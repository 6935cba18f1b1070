// What registers the kernels of a TransIPForce with OpenMM's CUDA platform.

#include "CudaTransIPKernels.h"

#include <openmm/KernelFactory.h>
#include <openmm/OpenMMException.h>
#include <openmm/cuda/CudaPlatform.h>
#include <openmm/internal/ContextImpl.h>

namespace TransIPPlugin {

namespace {

class CudaTransIPKernelFactory : public OpenMM::KernelFactory {
 public:
  OpenMM::KernelImpl *createKernelImpl(std::string name, const OpenMM::Platform &platform,
                                       OpenMM::ContextImpl &context) const override
  {
    if (name != CalcTransIPForceKernel::Name())
      throw OpenMM::OpenMMException("Tried to create kernel with illegal kernel name '" + name + "'");
    auto &data = *static_cast<OpenMM::CudaPlatform::PlatformData *>(context.getPlatformData());
    // With several devices positions and forces are gathered on the first one.
    return new CudaCalcTransIPForceKernel(name, platform, *data.contexts[0]);
  }
};

}  // namespace

}  // namespace TransIPPlugin

// The two functions that OpenMM calls of every plugin that it loads.

extern "C" __attribute__((visibility("default"))) void registerPlatforms() {}

extern "C" __attribute__((visibility("default"))) void registerKernelFactories()
{
  for (int i = 0; i < OpenMM::Platform::getNumPlatforms(); i++) {
    OpenMM::Platform &platform = OpenMM::Platform::getPlatform(i);
    if (platform.getName() == "CUDA")
      platform.registerKernelFactory(TransIPPlugin::CalcTransIPForceKernel::Name(),
                                     new TransIPPlugin::CudaTransIPKernelFactory);
  }
}
