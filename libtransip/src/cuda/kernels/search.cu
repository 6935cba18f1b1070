// The kernels of the search for neighbours, for NVRTC and nvcc.

#include "search.cuh"

#define TRANSIP_KERNEL(name) \
  extern "C" __global__ void transip_##name(const transip::cuda::Search search, const int part) \
  { \
    transip::cuda::name(search, part); \
  }
TRANSIP_SEARCH_KERNELS(TRANSIP_KERNEL)
