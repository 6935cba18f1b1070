// The kernels of one network, for NVRTC and nvcc: the shape comes from the command line as
// -DTRANSIP_SHAPE=transip::cuda::Shape<float,64,4,160,true,true,true,false>.

#include "kernels.cuh"

using Network = TRANSIP_SHAPE;

// Kernels that a network has no use for are empty.
#define TRANSIP_KERNEL(name, threads, used)                                                                            \
  extern "C" __global__ void __launch_bounds__(                                                                        \
      transip::cuda::threads, transip::cuda::least_blocks(transip::cuda::threads, sizeof(Network::Real)))              \
      transip_##name(const transip::cuda::Step<Network::Real> step, const int layer)                                   \
  {                                                                                                                    \
    if constexpr (used) transip::cuda::name<Network>(step, layer);                                                     \
  }
#define TRANSIP_COMMON(name, threads) TRANSIP_KERNEL(name, threads, true)
#define TRANSIP_NARROW(name, threads) TRANSIP_KERNEL(name, threads, Network::narrow)
#define TRANSIP_WIDE(name, threads) TRANSIP_KERNEL(name, threads, !Network::narrow)
TRANSIP_COMMON_KERNELS(TRANSIP_COMMON)
TRANSIP_NARROW_KERNELS(TRANSIP_NARROW)
TRANSIP_WIDE_KERNELS(TRANSIP_WIDE)
