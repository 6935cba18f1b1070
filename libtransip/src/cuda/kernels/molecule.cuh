// A step of small molecules in one launch: a block does all stages for molecules of its own, with barriers between them.
//
// For networks that attend all to all, where no molecule needs numbers of another. The stages are those of the other
// kernels, so that every number has the same bits; arrays stay where they are, in memory that the block's multiprocessor
// caches.
#pragma once

#include "molecule.h"
#include "narrow.cuh"
#include "search.cuh"
#include "totals.cuh"

namespace transip::cuda {

/// The molecules of one block: those that begin at one of its `molecule_window` tokens.
template <class S> class Molecules {
 public:
  using Real = typename S::Real;
  static constexpr int threads = molecule_threads(sizeof(Real)), warps = threads / warp_size;

  /// room: shared memory for linear layers.
  __device__ __forceinline__ Molecules(const Step<Real> &step, Real *room)
      : step_(step), room_(room), first_(next_molecule(blockIdx.x * molecule_window)),
        end_(next_molecule((blockIdx.x + 1) * molecule_window))
  {
  }

  __device__ __forceinline__ bool none() const { return first_ >= end_; }

  /// From positions to the energies of the tokens.
  __device__ __forceinline__ void forward() const
  {
    const int tokens = end_ - first_;
    share(0, tokens * step_.layers, [&](int item) { begin_row<S>(step_, first_ + item % tokens, item / tokens); });
#pragma unroll 1
    for (int layer = 0; layer < step_.layers; layer++) {
      by_tiles([&](const Layers &layers) { layers.project(layer); });
      share_attention([&](int warp) { attend_by<S>(step_, layer, warp); });
      by_tiles([&](const Layers &layers) { finish_layer(layers, layer); });
    }
    by_tiles([&](const Layers &layers) { set_energies(step_, layers); });
  }

  /// From the forward's arrays to the forces on the tokens.
  __device__ __forceinline__ void backward() const
  {
#pragma unroll 1
    for (int layer = step_.layers - 1; layer >= 0; layer--) {
      by_tiles([&](const Layers &layers) { rest_of_layer_back(step_, layers, layer); });
      share_attention([&](int warp) { attend_back_tokens_by<S>(step_, layer, warp); });
      share_attention([&](int warp) { attend_back_rows_by<S>(step_, layer, warp); });
      share(first_, end_, [&](int t) { fold_token<S>(step_, layer, t); });
    }
    if constexpr (S::coordinates) {
      by_tiles([&](const Layers &layers) { layers.project_back(0); });
      share(first_, end_, [&](int t) { pull_token<S>(step_, t); });
    }
    share(first_, end_, [&](int t) { force_on_row<S>(step_, t); });
  }

  /// Give each warp its part of the items from `first` to `end`, and wait until all are done.
  template <class Work> __device__ __forceinline__ static void share(int first, int end, const Work &work)
  {
#pragma unroll 1
    for (int item = first + threadIdx.x / warp_size; item < end; item += warps) work(item);
    __syncthreads();
  }

 private:
  using Deal = BlockDeal<threads>;
  using Layers = LinearLayers<S, Deal>;

  /// The first token of the first molecule that begins at a token or behind it.
  __device__ __forceinline__ int next_molecule(int token) const
  {
    if (token >= step_.in.counts->tokens) return step_.in.counts->tokens;
    return step_.in.begin[token] < token ? step_.in.end[token] : token;
  }

  template <class Work> __device__ __forceinline__ void share_attention(const Work &work) const
  {
    share(first_ * Split<S>::groups, end_ * Split<S>::groups, work);
  }

  /// Linear layers of one tile of tokens after another.
  template <class Work> __device__ __forceinline__ void by_tiles(const Work &work) const
  {
#pragma unroll 1
    for (int first = first_; first < end_; first += tile_tokens) {
      work(Layers(step_, room_, end_, Deal(first, end_)));
      __syncthreads();
    }
  }

  const Step<Real> &step_;
  Real *room_;
  int first_, end_;
};

/// What the rows of one molecule come to, by one block: as the kernels of totals.cuh one after another.
template <int warps> __device__ __forceinline__ void total(const Totals &totals, bool nearest)
{
  const int tokens = totals.lists.counts->tokens, warp = threadIdx.x / warp_size;
#pragma unroll 1
  for (int t = warp; t < tokens; t += warps) {
    if (totals.repels) repel_token(totals, t);
    if (nearest) find_nearest_of(totals, t);
  }
  __syncthreads();
  fold_atoms(totals, 0);
  // Its rows are one chunk: adding up the chunks would change nothing.
  static_assert(most_molecule_tokens <= sum_threads);
  double numbers[summed_numbers];
  sum_rows(totals, static_cast<int>(threadIdx.x) < tokens ? static_cast<int>(threadIdx.x) : -1, numbers);
  if (threadIdx.x == 0) report_sums(totals, numbers);
  if (nearest) take_nearest(totals, 0);
}

/// part: of MoleculePart. One block if it is a whole structure.
template <class S> __device__ __forceinline__ void molecule(const MoleculeStep<typename S::Real> &given, int part)
{
  TRANSIP_SHARED(typename S::Real, room, LinearLayers<S>::most_room());
  const bool whole = part & whole_structure;
  if (whole) {
    place_rows(given.search, 0);
    __syncthreads();
  }
  const Molecules<S> molecules(given.step, room);
  if (!molecules.none()) {
    molecules.forward();
    if (part & with_forces) molecules.backward();
  }
  if (!whole) return;
  energy_sum<S>(given.step, 0);
  __syncthreads();
  total<Molecules<S>::warps>(given.totals, part & nearest_pair);
}

}  // namespace transip::cuda
