// Linear layers: products of many tokens with a matrix, in tiles, with what comes before and after in the same kernel.
//
// Launch with `dense_threads` threads. A block has `tile_tokens` tokens, whose inputs lie in shared memory; a warp makes
// 16 x 16 numbers at a time by tensor cores and reads the matrix from global memory, in the order in which it lies there.
// Blocks beside each other in the grid's second dimension share the columns.
#pragma once

#include "tensor_core.cuh"

namespace transip::cuda {

/// The part of an array over layers that is one layer's.
template <int inner, int outer, typename Real>
__device__ __forceinline__ Dense<Real> of_layer(const Dense<Real> &all, int layer)
{
  return {all.weight + static_cast<long long>(layer) * matrix_size(inner, outer),
          all.bias ? all.bias + layer * round_up(outer, warp_tile) : nullptr};
}

/// What a source makes of a block's tokens, rows of shared memory: each warp has every eighth.
template <int inner, typename Real, class Source> class Rows {
 public:
  static constexpr Staging shape = staging(inner, sizeof(Real));

  __device__ __forceinline__ Rows(const Source &source, int tokens) : source_(source), tokens_(tokens)
  {
#pragma unroll
    for (int i = 0; i < each; i++) {
      two_[i][0] = two_[i][1] = Real(0);
      if constexpr (Source::prepares)
        if (token(i) < tokens_) source_.prepare(token(i), two_[i]);
    }
  }

  /// Numbers of the inner dimension from `from` on, zero beyond its end.
  __device__ __forceinline__ void stage(Real *room, int from) const
  {
#pragma unroll
    for (int i = 0; i < each; i++)
      for (int k = 4 * lane_here(); k < shape.inner; k += 4 * warp_size) {
        Real four[4] = {Real(0), Real(0), Real(0), Real(0)};
        if (token(i) < tokens_ && from + k < inner) source_.four(token(i), from + k, two_[i], four);
        store<4>(room + row(i) * shape.stride + k, four);
      }
  }

 private:
  static constexpr int each = tile_tokens / dense_warps;

  __device__ __forceinline__ static int row(int i) { return threadIdx.x / warp_size + dense_warps * i; }
  __device__ __forceinline__ static int token(int i) { return blockIdx.x * tile_tokens + row(i); }

  const Source &source_;
  int tokens_;
  Real two_[each][2];
};

/// sum[row][column] += rows x matrix, over `tiles` tiles of the inner dimension; the pointers are the lane's.
template <int stride, typename Real>
__device__ __forceinline__ void multiply_tiles(Real (&sum)[2][4], const Real *rows, const Real *matrix, int tiles)
{
  Real next[2][4];
  load<4>(next[0], matrix);
  load<4>(next[1], matrix + warp_tile * tile_inner / 2);
#pragma unroll 2
  for (int tile = 0; tile < tiles; tile++) {
    Real left[2][4], right[2][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      right[0][i] = next[0][i];
      right[1][i] = next[1][i];
    }
    if (tile + 1 < tiles) {
      const Real *after = matrix + (tile + 1) * warp_tile * tile_inner;
      load<4>(next[0], after);
      load<4>(next[1], after + warp_tile * tile_inner / 2);
    }
    load<4>(left[0], rows + tile * tile_inner);
    load<4>(left[1], rows + 8 * stride + tile * tile_inner);
    multiply(sum, left, right);
  }
}

/// sink(token, column, four) gets four neighbouring numbers of source x matrix + bias, for each token and column.
///
/// source.prepare(token, two) is called once for each token by a whole warp and leaves two numbers that hold for the
/// token; source.four(token, column, two, values) then gives four neighbouring inputs. Both may write what belongs to
/// their token where blockIdx.y is 0. room: shared memory of the block, `room_for` numbers or more; a block that uses it
/// again has a barrier before.
template <int inner, int outer, typename Real, class Source, class Sink>
__device__ __forceinline__ void product(Real *room, int tokens, const Source &source, const Dense<Real> &matrix,
                                        const Sink &sink)
{
  using Staged = Rows<inner, Real, Source>;
  constexpr int all_tiles = round_up(inner, tile_inner) / tile_inner, tiles = Staged::shape.inner / tile_inner,
                parts = (all_tiles + tiles - 1) / tiles, stride = Staged::shape.stride,
                groups = round_up(outer, warp_tile) / warp_tile, abreast = tile_outer / warp_tile;
  const int first_token = blockIdx.x * tile_tokens, first_round = blockIdx.y, rounds_apart = gridDim.y;
  if (first_token >= tokens) return;
  const int warp = threadIdx.x / warp_size, lane = lane_here();
  const int token = first_token + warp / abreast * warp_tile + lane / 4;
  const bool has_tokens = first_token + warp / abreast * warp_tile < tokens;
  const Staged staged(source, tokens);
  const Real *rows = room + warp / abreast * warp_tile * stride + Staged::shape.place(lane);

  for (int round = first_round; round * abreast < groups; round += rounds_apart) {
    const int group = round * abreast + warp % abreast, column = group * warp_tile + lane % 4 * 4;
    const bool works = group < groups && has_tokens;
    Real sum[2][4];
#pragma unroll
    for (int i = 0; i < 4; i++) sum[0][i] = sum[1][i] = Real(0);
    for (int part = 0; part < parts; part++) {
      if (parts > 1 || round == first_round) {
        if (part > 0 || round > first_round) __syncthreads();  // everyone is done with the rows before
        staged.stage(room, part * Staged::shape.inner);
        __syncthreads();
      }
      const int first = part * tiles, left = all_tiles - first;
      if (works)
        multiply_tiles<stride>(sum, rows, matrix.weight + (group * all_tiles + first) * warp_tile * tile_inner + 4 * lane,
                               left < tiles ? left : tiles);
    }
    if (!works || column >= outer) continue;
    Real bias[4] = {Real(0), Real(0), Real(0), Real(0)};
    if (matrix.bias) load<4>(bias, matrix.bias + column);
#pragma unroll
    for (int row = 0; row < 2; row++) {
      if (token + 8 * row >= tokens) break;
      Real four[4];
#pragma unroll
      for (int i = 0; i < 4; i++) four[i] = sum[row][i] + bias[i];
      sink(token + 8 * row, column, four);
    }
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
