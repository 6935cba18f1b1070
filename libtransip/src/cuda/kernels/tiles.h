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
constexpr int plain_threads = 128, dense_threads = 256, sum_threads = 256;
/// A block of a linear layer makes so many numbers at a time, a warp 16 x 16 of them, from 16 of the inner dimension.
constexpr int tile_tokens = 32, tile_outer = 64, tile_inner = 16, warp_tile = 16;
constexpr int dense_warps = dense_threads / warp_size;
static_assert(tile_tokens / warp_tile * (tile_outer / warp_tile) == dense_warps);

/// Blocks that a multiprocessor has room for at least: in float32, one of a linear layer works while another waits.
/// bytes: of one number.
TRANSIP_BOTH constexpr int least_blocks(int threads, int bytes)
{
  return threads == dense_threads && bytes == 4 ? 2 : 1;
}

TRANSIP_BOTH constexpr int round_up(int count, int to)
{
  return (count + to - 1) / to * to;
}

/// Numbers that a matrix [inner, outer] takes, padded with zeros.
TRANSIP_BOTH constexpr int matrix_size(int inner, int outer)
{
  return round_up(inner, tile_inner) * round_up(outer, warp_tile);
}

/// Where a matrix of so many inner numbers has an element: in the order in which the lanes of a warp read it,
/// [tile of 16 outer][tile of 16 inner][half][lane][4 inner]. Lane 4 g + t has inner 4 t to 4 t + 3 of one column in each
/// half; the columns are such that what a lane gets of the sums, 2 t and 2 t + 1 of both halves, are four neighbours.
TRANSIP_BOTH constexpr int place_in_matrix(int inner, int i, int o)
{
  const int tile = o / warp_tile * (round_up(inner, tile_inner) / tile_inner) + i / tile_inner;
  const int column = o % warp_tile, half = column % 4 / 2, place = column / 4 * 2 + column % 2;
  return ((2 * tile + half) * 8 + place) * tile_inner + i % tile_inner;
}

/// Rows of a block's tokens in shared memory: so many of the inner dimension at a time, and from one row to the next.
struct Staging {
  int inner, stride;

  /// Where a lane reads four numbers of a tile's first eight rows.
  TRANSIP_BOTH constexpr int place(int lane) const { return lane / 4 * stride + lane % 4 * 4; }
};

/// bytes: of one number. The stride is such that the lanes of a warp, which read packs, have no bank conflicts.
TRANSIP_BOTH constexpr Staging staging(int inner, int bytes)
{
  const int most = 1024 / bytes, padded = round_up(inner, tile_inner), parts = (padded + most - 1) / most;
  const int part = round_up((padded + parts - 1) / parts, tile_inner);
  return {part, bytes == 4 ? part + (part % 32 == 0 ? 16 : 0) : part + 2};
}

/// Numbers of shared memory that a linear layer takes.
TRANSIP_BOTH constexpr int room_for(int inner, int bytes)
{
  return tile_tokens * staging(inner, bytes).stride;
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

/// Whether a block does one linear layer after another of its tokens, in one launch. Wider layers have a launch each, so
/// that more blocks share the work.
TRANSIP_BOTH constexpr bool is_narrow(int dim)
{
  return dim <= 96;
}

/// Whether a block may do a whole step of a small molecule, in one launch: all its weights go through one multiprocessor.
TRANSIP_BOTH constexpr bool has_molecule_kernel(int dim, bool local)
{
  return !local && dim <= 128;
}

/// Tokens of the largest molecule that one block does.
constexpr int most_molecule_tokens = 32;

/// Threads of such a block: as many as have registers enough. bytes: of one number.
TRANSIP_BOTH constexpr int molecule_threads(int bytes)
{
  return bytes == 4 ? 384 : 256;
}

/// Such a block takes the molecules that begin at one of so many tokens.
constexpr int molecule_window = 8;

/// Whether the kernels are made for a network of this shape.
TRANSIP_BOTH constexpr bool fits(int dim, int heads)
{
  return dim >= 4 && dim % 4 == 0 && dim <= 1024 && heads > 0 && dim % (2 * heads) == 0 && dim / heads <= 64;
}

}  // namespace transip::cuda
