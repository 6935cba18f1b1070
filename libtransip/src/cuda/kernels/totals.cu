// The kernels of a structure's totals, for NVRTC and nvcc.

#include "totals.cuh"

#define TRANSIP_KERNEL(name) \
  extern "C" __global__ void transip_##name(const transip::cuda::Totals totals, const int part) \
  { \
    transip::cuda::name(totals, part); \
  }
TRANSIP_TOTALS_KERNELS(TRANSIP_KERNEL)
