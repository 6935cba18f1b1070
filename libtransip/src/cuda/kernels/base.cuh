// What all kernels are made of. These headers include nothing but each other: NVRTC has no C++ library, and the CPU's
// compiler takes them too, under tests/cuda/emulator.
#pragma once

#include "step.h"

#ifndef TRANSIP_EMULATED
/// An array of the block's own memory, aligned for packed loads.
#define TRANSIP_SHARED(type, name, count) __shared__ __align__(16) type name[count]
/// A function that is called and not inlined.
#define TRANSIP_CALLED __noinline__
#endif

namespace transip::cuda {

constexpr unsigned all_lanes = 0xffffffffu;
constexpr double layer_norm_epsilon = 1.0e-5;

// ---- functions of one precision ------------------------------------------------------------------------------------

__device__ __forceinline__ float exponential(float x)
{
  return expf(x);
}

__device__ __forceinline__ double exponential(double x)
{
  return exp(x);
}

__device__ __forceinline__ float logarithm(float x)
{
  return logf(x);
}

__device__ __forceinline__ double logarithm(double x)
{
  return log(x);
}

/// Sine and cosine of pi x, |x| <= 1.
__device__ __forceinline__ void sine_cosine_pi(float x, float &sine, float &cosine)
{
  sincospif(x, &sine, &cosine);
}

__device__ __forceinline__ void sine_cosine_pi(double x, double &sine, double &cosine)
{
  sincospi(x, &sine, &cosine);
}

template <typename Real> __device__ __forceinline__ Real sigmoid(Real x)
{
  return Real(1) / (Real(1) + exponential(-x));
}

template <typename Real> __device__ __forceinline__ Real larger(Real a, Real b)
{
  return a > b ? a : b;
}

// ---- memory --------------------------------------------------------------------------------------------------------

/// What one load or store of 16 bytes moves.
template <typename Real> struct alignas(16) Pack {
  static constexpr int size = 16 / sizeof(Real);
  Real at[size];
};

/// Load `count` neighbouring numbers, in whole packs where that goes; then `from` must be aligned to 16 bytes.
template <int count, typename Real> __device__ __forceinline__ void load(Real (&to)[count], const Real *from)
{
  constexpr int size = Pack<Real>::size;
  if constexpr (count % size == 0) {
#pragma unroll
    for (int i = 0; i < count / size; i++) {
      const Pack<Real> pack = reinterpret_cast<const Pack<Real> *>(from)[i];
#pragma unroll
      for (int j = 0; j < size; j++) to[i * size + j] = pack.at[j];
    }
  } else {
#pragma unroll
    for (int i = 0; i < count; i++) to[i] = from[i];
  }
}

/// Store `count` neighbouring numbers; alignment as for `load`.
template <int count, typename Real> __device__ __forceinline__ void store(Real *to, const Real (&from)[count])
{
  constexpr int size = Pack<Real>::size;
  if constexpr (count % size == 0) {
#pragma unroll
    for (int i = 0; i < count / size; i++) {
      Pack<Real> pack;
#pragma unroll
      for (int j = 0; j < size; j++) pack.at[j] = from[i * size + j];
      reinterpret_cast<Pack<Real> *>(to)[i] = pack;
    }
  } else {
#pragma unroll
    for (int i = 0; i < count; i++) to[i] = from[i];
  }
}

/// The part of an array over layers that is one layer's: `most` items of `stride` numbers.
template <typename Real> __device__ __forceinline__ Real *of_layer(Real *array, int layer, int most, int stride)
{
  return array + static_cast<long long>(layer) * most * stride;
}

// ---- warps ---------------------------------------------------------------------------------------------------------

/// Sum over groups of lanes whose numbers differ in the bits from `low` up to, not including, `high`; the same in every
/// lane of a group, in a fixed order.
template <int low, int high, typename Real> __device__ __forceinline__ Real sum_lanes(Real x)
{
#pragma unroll
  for (int bit = low; bit < high; bit *= 2) x += __shfl_xor_sync(all_lanes, x, bit);
  return x;
}

template <typename Real> __device__ __forceinline__ Real sum_warp(Real x)
{
  return sum_lanes<1, warp_size>(x);
}

__device__ __forceinline__ int lane_here()
{
  return threadIdx.x % warp_size;
}

/// Number of the caller's warp among all warps of the launch.
__device__ __forceinline__ int warp_here()
{
  return (blockIdx.x * blockDim.x + threadIdx.x) / warp_size;
}

/// How many lanes of a warp say yes: those before this one, and all.
struct Votes {
  int before, all;
};

__device__ __forceinline__ Votes count_votes(bool yes)
{
  const unsigned lanes = __ballot_sync(all_lanes, yes);
  return {__popc(lanes & ((1u << lane_here()) - 1u)), __popc(lanes)};
}

}  // namespace transip::cuda
