// How work is dealt out to threads: what the kernels and the host that launches them must agree on.
#pragma once

#ifdef __CUDACC__
#define TRANSIP_BOTH __host__ __device__
#else
#define TRANSIP_BOTH
#endif

namespace transip::cuda {

constexpr int warp_size = 32;
/// Threads of a block: of kernels that give a warp to each token, row or edge list; of linear layers; of the last sums.
constexpr int plain_threads = 128, dense_threads = 128, sum_threads = 256;
/// A block of a linear layer makes so many numbers, from so many of the inner dimension at a time.
constexpr int tile_tokens = 32, tile_outer = 64, tile_inner = 16;

TRANSIP_BOTH constexpr int round_up(int count, int to)
{
  return (count + to - 1) / to * to;
}

/// Numbers that a matrix [inner, outer] takes, padded to whole tiles.
TRANSIP_BOTH constexpr int matrix_size(int inner, int outer)
{
  return round_up(inner, tile_inner) * round_up(outer, tile_outer);
}

/// A feed-forward's width as the kernels have it: padded with features whose weights are zero.
TRANSIP_BOTH constexpr int padded_feedforward(int feedforward)
{
  return round_up(feedforward, tile_inner);
}

/// How attention deals heads out to the lanes of a warp: [slots][heads][parts]. A slot works on one edge at a time, a
/// part holds some features of one head; what a warp's heads leave goes to further warps.
struct HeadSplit {
  int parts, heads, groups, slots;
};

/// bytes: of one number. A lane holds as many features as leave registers for all that is made of them.
TRANSIP_BOTH constexpr HeadSplit split_heads(int width, int heads, int bytes)
{
  const int most = bytes == 4 ? 16 : 8;
  HeadSplit split{1, 1, 1, 1};
  while (width / split.parts > most && width % (4 * split.parts) == 0 && split.parts < warp_size) split.parts *= 2;
  while (2 * split.heads * split.parts <= warp_size && heads % (2 * split.heads) == 0) split.heads *= 2;
  split.groups = heads / split.heads;
  split.slots = warp_size / (split.heads * split.parts);
  return split;
}

/// Whether the kernels are made for a network of this shape.
TRANSIP_BOTH constexpr bool fits(int dim, int heads)
{
  return dim >= 4 && dim % 4 == 0 && dim <= 1024 && heads > 0 && dim % (2 * heads) == 0 && dim / heads <= 64;
}

}  // namespace transip::cuda
