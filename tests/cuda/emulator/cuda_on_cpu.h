// The part of CUDA C++ that the kernels use, for g++; a file that includes this first can include the kernels.
#pragma once

#include "emulator.h"
#include "tensor_core.h"

#include <bit>
#include <cmath>

#define TRANSIP_EMULATED

#define __device__ inline
#define __forceinline__
#define TRANSIP_CALLED
#define threadIdx (emulator::thread())
#define blockIdx (emulator::block())
#define blockDim (emulator::block_size())
#define gridDim (emulator::grid_size())

/// An array of the block's own memory, aligned for packed loads.
#define TRANSIP_SHARED(type, name, count)                                                                              \
  static char name##_key;                                                                                              \
  type *const name = static_cast<type *>(emulator::shared(&name##_key, sizeof(type) * (count)))

inline void __syncthreads()
{
  emulator::sync_block();
}

inline void __syncwarp(unsigned = ~0u)
{
  emulator::sync_warp();
}

template <typename T> T __shfl_xor_sync(unsigned, T value, int bits)
{
  return emulator::shuffle(value, emulator::lane() ^ bits);
}

template <typename T> T __shfl_sync(unsigned, T value, int from)
{
  return emulator::shuffle(value, from & 31);
}

template <typename T> T __shfl_up_sync(unsigned, T value, int by)
{
  const int from = emulator::lane() - by;
  return emulator::shuffle(value, from < 0 ? emulator::lane() : from);
}

inline unsigned __ballot_sync(unsigned, bool yes)
{
  unsigned lanes = yes ? 1u << emulator::lane() : 0u;
  for (int bits = 1; bits < 32; bits *= 2) lanes |= emulator::shuffle(lanes, emulator::lane() ^ bits);
  return lanes;
}

inline int __popc(unsigned bits)
{
  return std::popcount(bits);
}

inline float __uint_as_float(unsigned bits)
{
  return std::bit_cast<float>(bits);
}

using emulator::multiply_double;
using emulator::multiply_tf32;
using emulator::round_to_tf32;

inline int atomicAdd(int *place, int value)
{
  return __atomic_fetch_add(place, value, __ATOMIC_RELAXED);
}

inline unsigned long long atomicAdd(unsigned long long *place, unsigned long long value)
{
  return __atomic_fetch_add(place, value, __ATOMIC_RELAXED);
}

inline int atomicExch(int *place, int value)
{
  return __atomic_exchange_n(place, value, __ATOMIC_RELAXED);
}

inline void sincospi(double x, double *sine, double *cosine)
{
  *sine = std::sin(M_PI * x);
  *cosine = std::cos(M_PI * x);
}

inline void sincospif(float x, float *sine, float *cosine)
{
  *sine = static_cast<float>(std::sin(M_PI * static_cast<double>(x)));
  *cosine = static_cast<float>(std::cos(M_PI * static_cast<double>(x)));
}
