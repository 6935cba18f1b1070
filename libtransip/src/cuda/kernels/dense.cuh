// Linear layers: products of many tokens with a matrix, in tiles, with what comes before and after in the same kernel.
//
// A block has `tile_tokens` tokens, whose inputs lie in shared memory; a warp makes 16 x 16 numbers at a time by tensor
// cores and reads the matrix from global memory, in the order in which it lies there. How tokens and columns are dealt out
// to blocks and warps is the caller's; it changes no bit of a number.
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

/// A product on a grid: blocks of `dense_threads` threads, each with its own tokens; those beside each other in the second
/// dimension share the columns.
struct GridDeal {
  static constexpr int warps = dense_warps;
  static constexpr bool compact = false;

  __device__ __forceinline__ int first_token() const { return blockIdx.x * tile_tokens; }
  /// Groups of 16 columns that the block's warps make at a time, for all of its tokens.
  __device__ __forceinline__ constexpr int abreast() const { return tile_outer / warp_tile; }
  __device__ __forceinline__ int first_round() const { return blockIdx.y; }
  __device__ __forceinline__ int rounds_apart() const { return gridDim.y; }
};

/// A product by one block of so many threads, which makes all columns of the tokens from `first` on, up to a tile of them.
template <int threads> class BlockDeal {
 public:
  static constexpr int warps = threads / warp_size;
  static constexpr bool compact = true;

  /// tokens: the first that is not the block's. With up to 16 tokens all warps share them.
  __device__ __forceinline__ BlockDeal(int first, int tokens)
      : first_(first), abreast_(tokens - first > warp_tile ? warps * warp_tile / tile_tokens : warps)
  {
  }
  __device__ __forceinline__ int first_token() const { return first_; }
  __device__ __forceinline__ int abreast() const { return abreast_; }
  __device__ __forceinline__ int first_round() const { return 0; }
  __device__ __forceinline__ int rounds_apart() const { return 1; }

 private:
  int first_, abreast_;
};

/// What a source makes of a block's tokens, rows of shared memory, dealt out to the warps in turn.
template <int inner, typename Real, class Source, class Deal> class Rows {
 public:
  static constexpr Staging shape = staging(inner, sizeof(Real));

  __device__ __forceinline__ Rows(const Source &source, int first_token, int tokens)
      : source_(source), first_token_(first_token), tokens_(tokens)
  {
#pragma unroll
    for (int i = 0; i < kept; i++) prepare(row(i), two_[i]);
  }

  /// Numbers of the inner dimension from `from` on, zero beyond its end.
  __device__ __forceinline__ void stage(Real *room, int from) const
  {
    if constexpr (Deal::compact) {
#pragma unroll 1
      for (int i = 0; row(i) < tile_tokens; i++) {
        Real two[2];
        prepare(row(i), two);
        stage_row(room, from, row(i), two);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kept; i++) stage_row(room, from, row(i), two_[i]);
    }
  }

 private:
  /// Rows of a warp whose two numbers are kept from one part of the inner dimension to the next.
  static constexpr int kept = Deal::compact ? 0 : tile_tokens / Deal::warps;

  __device__ __forceinline__ static int row(int i) { return threadIdx.x / warp_size + Deal::warps * i; }

  __device__ __forceinline__ void prepare(int row, Real (&two)[2]) const
  {
    two[0] = two[1] = Real(0);
    if constexpr (Source::prepares)
      if (first_token_ + row < tokens_) source_.prepare(first_token_ + row, two);
  }

  __device__ __forceinline__ void stage_row(Real *room, int from, int row, const Real (&two)[2]) const
  {
    for (int k = 4 * lane_here(); k < shape.inner; k += 4 * warp_size) {
      Real four[4] = {Real(0), Real(0), Real(0), Real(0)};
      if (first_token_ + row < tokens_ && from + k < inner) source_.four(first_token_ + row, from + k, two, four);
      store<4>(room + row * shape.stride + k, four);
    }
  }

  const Source &source_;
  int first_token_, tokens_;
  Real two_[kept > 0 ? kept : 1][2];
};

/// A lane's part of 16 x 16 sums, [row][column].
template <typename Real> struct TileSums {
  Real at[2][4];
};

/// sum[row][column] += rows x matrix, over `tiles` tiles of the inner dimension; the pointers are the lane's.
///
/// stride: from one of the rows to the next. at_a_time: tiles for which the compiler writes the loop out.
template <int at_a_time, typename Real>
__device__ __forceinline__ void multiply_tiles(Real (&sum)[2][4], const Real *rows, int stride, const Real *matrix, int tiles)
{
  Real next[2][4];
  load<4>(next[0], matrix);
  load<4>(next[1], matrix + warp_tile * tile_inner / 2);
#pragma unroll at_a_time
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

/// The same for a kernel of many linear layers, which have it in common: written out in each, it takes as long to compile
/// as all the rest of the kernel.
template <typename Real>
__device__ TRANSIP_CALLED TileSums<Real> multiply_tiles_once(TileSums<Real> sum, const Real *rows, int stride,
                                                             const Real *matrix, int tiles)
{
  multiply_tiles<1>(sum.at, rows, stride, matrix, tiles);
  return sum;
}

/// sink(token, column, four) gets four neighbouring numbers of source x matrix + bias, for each token and column.
///
/// deal: which tokens and columns are whose; tokens: the first that is nobody's.
/// source.prepare(token, two) is called once for each token by a whole warp and leaves two numbers that hold for the
/// token; source.four(token, column, two, values) then gives four neighbouring inputs. Both may write what belongs to
/// their token where blockIdx.y is 0. room: shared memory of the block, `room_for` numbers or more; a block that uses it
/// again has a barrier before.
template <int inner, int outer, class Deal, typename Real, class Source, class Sink>
__device__ __forceinline__ void product(const Deal deal, Real *room, int tokens, const Source &source,
                                        const Dense<Real> &matrix, const Sink &sink)
{
  using Staged = Rows<inner, Real, Source, Deal>;
  constexpr int all_tiles = round_up(inner, tile_inner) / tile_inner, tiles = Staged::shape.inner / tile_inner,
                parts = (all_tiles + tiles - 1) / tiles, stride = Staged::shape.stride,
                groups = round_up(outer, warp_tile) / warp_tile;
  const int first_token = deal.first_token(), abreast = deal.abreast(), first_round = deal.first_round(),
            rounds_apart = deal.rounds_apart();
  if (first_token >= tokens) return;
  const int warp = threadIdx.x / warp_size, lane = lane_here();
  const int token = first_token + warp / abreast * warp_tile + lane / 4;
  const bool has_tokens = first_token + warp / abreast * warp_tile < tokens;
  const Staged staged(source, first_token, tokens);
  const Real *rows = room + warp / abreast * warp_tile * stride + Staged::shape.place(lane);

#pragma unroll 1
  for (int round = first_round; round * abreast < groups; round += rounds_apart) {
    const int group = round * abreast + warp % abreast, column = group * warp_tile + lane % 4 * 4;
    const bool works = group < groups && has_tokens;
    TileSums<Real> sums;
    Real(&sum)[2][4] = sums.at;
#pragma unroll
    for (int i = 0; i < 4; i++) sum[0][i] = sum[1][i] = Real(0);
    for (int part = 0; part < parts; part++) {
      if (parts > 1 || round == first_round) {
        if (part > 0 || round > first_round) __syncthreads();  // everyone is done with the rows before
        staged.stage(room, part * Staged::shape.inner);
        __syncthreads();
      }
      if (!works) continue;
      const int first = part * tiles, left = all_tiles - first < tiles ? all_tiles - first : tiles;
      const Real *weight = matrix.weight + (group * all_tiles + first) * warp_tile * tile_inner + 4 * lane;
      if constexpr (Deal::compact && sizeof(Real) == 4)
        sums = multiply_tiles_once(sums, rows, stride, weight, left);
      else
        multiply_tiles<2>(sum, rows, stride, weight, left);
    }
    if (!works || column >= outer) continue;
    Real bias[4] = {Real(0), Real(0), Real(0), Real(0)};
    if (matrix.bias) load<4>(bias, matrix.bias + column);
#pragma unroll Deal::compact ? 1 : 2
    for (int row = 0; row < 2; row++) {
      if (token + 8 * row >= tokens) break;
      Real four[4];
#pragma unroll
      for (int i = 0; i < 4; i++) four[i] = (row == 0 ? sum[0][i] : sum[1][i]) + bias[i];
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
