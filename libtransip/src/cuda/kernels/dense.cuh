// Linear layers: products of many tokens with a matrix, in tiles, with what comes before and after in the same kernel.
//
// A block makes `tile_tokens` x `tile_outer` numbers, each thread 4 x 4 of them. Launch with `dense_threads` threads and
// a grid of tiles of tokens x tiles of the outer dimension.
#pragma once

#include "base.cuh"

namespace transip::cuda {

/// The part of an array over layers that is one layer's.
template <int inner, int outer, typename Real>
__device__ __forceinline__ Dense<Real> of_layer(const Dense<Real> &all, int layer)
{
  return {all.weight + static_cast<long long>(layer) * matrix_size(inner, outer),
          all.bias ? all.bias + layer * round_up(outer, tile_outer) : nullptr};
}

/// sink(token, column, four) gets four neighbouring numbers of source x matrix + bias, for each token and column.
///
/// source.prepare(token, two) is called once for each token by a whole warp and leaves two numbers that hold for the
/// token; source.four(token, column, two, values) then gives four neighbouring inputs. Both may write what belongs to
/// their token where blockIdx.y is 0.
template <int inner, int outer, typename Real, class Source, class Sink>
__device__ __forceinline__ void product(int tokens, const Source &source, const Dense<Real> &matrix, const Sink &sink)
{
  constexpr int wide = round_up(outer, tile_outer), stride = tile_tokens + 4;
  TRANSIP_SHARED(Real, left, tile_inner * stride);
  TRANSIP_SHARED(Real, right, tile_inner * tile_outer);
  TRANSIP_SHARED(Real, of_token, tile_tokens * 2);
  const int first_token = blockIdx.x * tile_tokens, first_outer = blockIdx.y * tile_outer;
  if (first_token >= tokens) return;
  const int thread = threadIdx.x, here_token = thread / 4, here_inner = thread % 4 * 4;
  const int token = first_token + here_token;

  if constexpr (Source::prepares) {
    for (int t = thread / warp_size; t < tile_tokens; t += dense_threads / warp_size) {
      Real two[2] = {Real(0), Real(0)};
      if (first_token + t < tokens) source.prepare(first_token + t, two);
      if (lane_here() == 0) {
        of_token[2 * t] = two[0];
        of_token[2 * t + 1] = two[1];
      }
    }
    __syncthreads();
  }
  Real two[2] = {Real(0), Real(0)};
  if constexpr (Source::prepares) {
    two[0] = of_token[2 * here_token];
    two[1] = of_token[2 * here_token + 1];
  }

  Real sum[4][4], next_left[4], next_right[2][4];
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) sum[i][j] = Real(0);

  const auto fetch = [&](int from) {
#pragma unroll
    for (int i = 0; i < 4; i++) next_left[i] = Real(0);
    if (token < tokens && from + here_inner < inner) source.four(token, from + here_inner, two, next_left);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int place = 4 * thread + half * 4 * dense_threads;
      load<4>(next_right[half],
              matrix.weight + static_cast<long long>(from + place / tile_outer) * wide + first_outer + place % tile_outer);
    }
  };

  const int my_tokens = thread / 16 * 4, my_outer = thread % 16 * 4;
  fetch(0);
  for (int from = 0; from < inner; from += tile_inner) {
    if (from > 0) __syncthreads();  // everyone is done with the tile before
#pragma unroll
    for (int i = 0; i < 4; i++) left[(here_inner + i) * stride + here_token] = next_left[i];
#pragma unroll
    for (int half = 0; half < 2; half++) store<4>(right + 4 * thread + half * 4 * dense_threads, next_right[half]);
    __syncthreads();
    if (from + tile_inner < inner) fetch(from + tile_inner);
#pragma unroll
    for (int k = 0; k < tile_inner; k++) {
      Real a[4], b[4];
      load<4>(a, left + k * stride + my_tokens);
      load<4>(b, right + k * tile_outer + my_outer);
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum[i][j] += a[i] * b[j];
    }
  }

  const int column = first_outer + my_outer;
  if (column >= outer) return;
  Real bias[4] = {Real(0), Real(0), Real(0), Real(0)};
  if (matrix.bias) load<4>(bias, matrix.bias + column);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int to = first_token + my_tokens + i;
    if (to >= tokens) break;
    Real four[4];
#pragma unroll
    for (int j = 0; j < 4; j++) four[j] = sum[i][j] + bias[j];
    sink(to, column, four);
  }
}

// ---- phases --------------------------------------------------------------------------------------------------------

/// Turn two rotary pairs by their phases (cosine, sine, cosine, sine), or back by direction -1.
template <typename Real> __device__ __forceinline__ void rotate(Real (&pairs)[4], const Real *phase, Real direction)
{
  Real phases[4];
  load<4>(phases, phase);
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const Real first = pairs[i], second = pairs[i + 1], c = phases[i], s = phases[i + 1] * direction;
    pairs[i] = first * c - second * s;
    pairs[i + 1] = first * s + second * c;
  }
}

// ---- sources -------------------------------------------------------------------------------------------------------

/// Numbers as they stand in memory, [tokens, stride].
template <typename Real> struct Plain {
  static constexpr bool prepares = false;
  const Real *from;
  int stride;

  __device__ __forceinline__ void four(int token, int column, const Real (&)[2], Real (&to)[4]) const
  {
    load<4>(to, from + static_cast<long long>(token) * stride + column);
  }
};

/// Tokens through a layer norm, which keeps what the gradient wants of it.
template <typename Real, int dim> struct Normalised {
  static constexpr bool prepares = true;
  const Real *token;
  Real *normal, *deviation;

  __device__ __forceinline__ void prepare(int t, Real (&two)[2]) const
  {
    const Real *from = token + static_cast<long long>(t) * dim;
    Real total = Real(0), squares = Real(0);
    for (int i = lane_here(); i < dim; i += warp_size) total += from[i];
    const Real mean = sum_warp(total) / Real(dim);
    for (int i = lane_here(); i < dim; i += warp_size) squares += (from[i] - mean) * (from[i] - mean);
    two[0] = mean;
    two[1] = Real(1.0 / sqrt(double(sum_warp(squares)) / dim + layer_norm_epsilon));
    if (blockIdx.y == 0 && lane_here() == 0) deviation[t] = two[1];
  }

  __device__ __forceinline__ void four(int t, int column, const Real (&two)[2], Real (&to)[4]) const
  {
    const long long place = static_cast<long long>(t) * dim + column;
    load<4>(to, token + place);
#pragma unroll
    for (int i = 0; i < 4; i++) to[i] = (to[i] - two[0]) * two[1];
    if (blockIdx.y == 0) store<4>(normal + place, to);
  }
};

/// The gradient by the tokens, with the part that is pending taken through its norm and added.
template <typename Real, int dim> struct NormBack {
  static constexpr bool prepares = true;
  const Real *gradient;  ///< null: zero
  const Real *pending, *normal, *deviation;
  Real *sum;             ///< where the sum goes; null: nowhere

  __device__ __forceinline__ void prepare(int t, Real (&two)[2]) const
  {
    const long long start = static_cast<long long>(t) * dim;
    Real total = Real(0), along = Real(0);
    for (int i = lane_here(); i < dim; i += warp_size) {
      total += pending[start + i];
      along += pending[start + i] * normal[start + i];
    }
    two[0] = sum_warp(total) / Real(dim);
    two[1] = sum_warp(along) / Real(dim);
  }

  __device__ __forceinline__ void four(int t, int column, const Real (&two)[2], Real (&to)[4]) const
  {
    const long long place = static_cast<long long>(t) * dim + column;
    Real here[4], straight[4];
    load<4>(to, pending + place);
    load<4>(here, normal + place);
#pragma unroll
    for (int i = 0; i < 4; i++) to[i] = (to[i] - two[0] - here[i] * two[1]) * deviation[t];
    if (gradient) {
      load<4>(straight, gradient + place);
#pragma unroll
      for (int i = 0; i < 4; i++) to[i] += straight[i];
    }
    if (sum && blockIdx.y == 0) store<4>(sum + place, to);
  }
};

/// What attention mixed, rotated back by the receiver's phase.
template <typename Real, int dim, bool rotated> struct Mixed {
  static constexpr bool prepares = false;
  const Real *mixed, *phase;

  __device__ __forceinline__ void four(int t, int column, const Real (&)[2], Real (&to)[4]) const
  {
    const long long place = static_cast<long long>(t) * dim + column;
    load<4>(to, mixed + place);
    if constexpr (rotated) rotate(to, phase + place, Real(-1));
  }
};

/// silu(gate) * value of the feed-forward.
template <typename Real, int feedforward> struct Activated {
  static constexpr bool prepares = false;
  const Real *gates;

  __device__ __forceinline__ void four(int t, int column, const Real (&)[2], Real (&to)[4]) const
  {
    Real both[8];
    load<8>(both, gates + 2 * (static_cast<long long>(t) * feedforward + column));
#pragma unroll
    for (int i = 0; i < 4; i++) to[i] = both[2 * i] * sigmoid(both[2 * i]) * both[2 * i + 1];
  }
};

/// Derivative of silu.
template <typename Real> __device__ __forceinline__ Real silu_slope(Real x)
{
  const Real s = sigmoid(x);
  return s * (Real(1) + x * (Real(1) - s));
}

/// Gradient of the energies that count by the energy head's hidden layer before its activation.
template <typename Real, int dim> struct HeadBack {
  static constexpr bool prepares = false;
  const Real *hidden, *output;
  const unsigned char *owned;

  __device__ __forceinline__ void four(int t, int column, const Real (&)[2], Real (&to)[4]) const
  {
    Real weight[4];
    load<4>(to, hidden + static_cast<long long>(t) * dim + column);
    load<4>(weight, output + column);
#pragma unroll
    for (int i = 0; i < 4; i++) to[i] = owned[t] ? weight[i] * silu_slope(to[i]) : Real(0);
  }
};

}  // namespace transip::cuda
