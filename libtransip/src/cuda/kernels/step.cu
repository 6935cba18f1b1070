// The kernels of one network, for NVRTC and nvcc: the shape comes from the command line as
// -DTRANSIP_SHAPE=transip::cuda::Shape<float,64,4,160,true,true,true,false>.

#include "kernels.cuh"

using Network = TRANSIP_SHAPE;

#define TRANSIP_KERNEL(name, threads)                                                                                  \
  extern "C" __global__ void __launch_bounds__(transip::cuda::threads, 1)                                                                \
      transip_##name(const transip::cuda::Step<Network::Real> step, const int layer)                                   \
  {                                                                                                                    \
    transip::cuda::name<Network>(step, layer);                                                                         \
  }
TRANSIP_STEP_KERNELS(TRANSIP_KERNEL)
