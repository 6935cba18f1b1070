// Products of small matrices by tensor cores, of warps: 16 tokens x 16 inner x 16 outer.
//
// Fragments as PTX has them ("Matrix Fragments" of mma.m16n8k8 with .tf32, of mma.m8n8k4 with .f64): lane 4 g + t holds
// rows g and g + 8 of what comes from the left, column g of what comes from the right, and of the sums rows g and g + 8,
// columns 2 t and 2 t + 1. The order of the inner dimension is free if both sides have the same: of 16, lane 4 g + t takes
// 4 t to 4 t + 3, which lie side by side in memory; `place_in_matrix` has the order of the outer dimension.
#pragma once

#include "base.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "the kernels need a GPU of compute capability 8.0 (Ampere) or later: use kernels torch, or the device cpu"
#endif

namespace transip::cuda {

#ifndef TRANSIP_EMULATED
/// A number rounded to TF32's 10 bits of fraction, to nearest, ties away from zero.
__device__ __forceinline__ unsigned round_to_tf32(float x)
{
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

/// sum += left [16, 8] x right [8, 8].
__device__ __forceinline__ void multiply_tf32(float (&sum)[4], const unsigned (&left)[4], const unsigned (&right)[2])
{
  // Volatile: all lanes take part, also those that throw their sums away.
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
}

/// sum += left [8, 4] x right [4, 8].
__device__ __forceinline__ void multiply_double(double (&sum)[2], double left, double right)
{
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+d"(sum[0]), "+d"(sum[1])
               : "d"(left), "d"(right));
}
#endif

/// A float32 as the sum of two numbers of TF32, which hold 22 of its 24 bits.
struct TwoParts {
  unsigned high, low;
};

__device__ __forceinline__ TwoParts split(float x)
{
  TwoParts parts;
  parts.high = round_to_tf32(x);
  parts.low = round_to_tf32(x - __uint_as_float(parts.high));
  return parts;
}

/// sum[row][column] += left[row] x right[column] of all lanes: see the head of this file. Rows are g and g + 8; columns
/// four in a row.
///
/// float32 by three products of TF32 (3xTF32), the small ones first. Tensor cores cut off what does not fit instead of
/// rounding it, so that long sums would be too small: only sums of 16 are theirs, the rest is ours.
__device__ __forceinline__ void multiply(float (&sum)[2][4], const float (&left)[2][4], const float (&right)[2][4])
{
  // [half of the inner dimension][fragment]; on the right [column] before them.
  unsigned high[2][4], low[2][4], right_high[2][2][2], right_low[2][2][2];
#pragma unroll
  for (int half = 0; half < 2; half++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const TwoParts parts = split(left[i % 2][2 * half + i / 2]);
      high[half][i] = parts.high;
      low[half][i] = parts.low;
    }
#pragma unroll
  for (int column = 0; column < 2; column++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const TwoParts parts = split(right[column][i]);
      right_high[column][i / 2][i % 2] = parts.high;
      right_low[column][i / 2][i % 2] = parts.low;
    }
  float part[2][4] = {{0.0f, 0.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 0.0f, 0.0f}};
  // The columns in turn: neither waits for its own last sum.
#pragma unroll
  for (int half = 0; half < 2; half++) {
#pragma unroll
    for (int column = 0; column < 2; column++) multiply_tf32(part[column], low[half], right_high[column][half]);
#pragma unroll
    for (int column = 0; column < 2; column++) multiply_tf32(part[column], high[half], right_low[column][half]);
  }
#pragma unroll
  for (int half = 0; half < 2; half++)
#pragma unroll
    for (int column = 0; column < 2; column++) multiply_tf32(part[column], high[half], right_high[column][half]);
#pragma unroll
  for (int column = 0; column < 2; column++)
#pragma unroll
    for (int i = 0; i < 4; i++) sum[i / 2][2 * column + i % 2] += part[column][i];
}

__device__ __forceinline__ void multiply(double (&sum)[2][4], const double (&left)[2][4], const double (&right)[2][4])
{
  double part[2][2][2];  // [row][column][two]
#pragma unroll
  for (int i = 0; i < 8; i++) part[i / 4][i / 2 % 2][i % 2] = sum[i / 4][i % 4];
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int row = 0; row < 2; row++)
#pragma unroll
      for (int column = 0; column < 2; column++) multiply_double(part[row][column], left[row][i], right[column][i]);
#pragma unroll
  for (int i = 0; i < 8; i++) sum[i / 4][i % 4] = part[i / 4][i / 2 % 2][i % 2];
}

}  // namespace transip::cuda
