// Where a step begins and ends: distances, embeddings and phases before the first layer, energies and forces after the
// last.
#pragma once

#include "attention.cuh"

namespace transip::cuda {

/// Displacement of an edge from its token to its row, Angstrom.
template <typename Real>
__device__ __forceinline__ void displacement(const Step<Real> &step, int token, int row, double (&to)[3])
{
#pragma unroll
  for (int x = 0; x < 3; x++)
    to[x] = step.in.positions[3 * static_cast<long long>(row) + x] - step.in.positions[3 * static_cast<long long>(token) + x];
}

/// Explicit roundings: wherever it is inlined it gives the same bits, so that both ends of an edge agree on its length.
__device__ __forceinline__ double length(const double (&x)[3])
{
  return sqrt(fma(x[2], x[2], fma(x[1], x[1], x[0] * x[0])));
}

/// Length of an edge, Angstrom.
template <typename Real> __device__ __forceinline__ double distance(const Step<Real> &step, int token, int row)
{
  double along[3];
  displacement(step, token, row, along);
  return length(along);
}

/// Lengths of a token's edges, which of them are within the cutoff of a local model, and whether an atom lies where the
/// token is. By a warp.
template <class S> __device__ __forceinline__ void measure_edges(const Step<typename S::Real> &step, int t)
{
  using Real = typename S::Real;
  const int first = step.in.first[t], end = step.in.first[t + 1];
  int clash = -1, kept = first;
  for (int start = first; start < end; start += warp_size) {
    const int e = start + lane_here(), row = e < end ? step.in.row[e] : -1;
    Real r = 0;
    if (e < end) {
      const double exact = distance(step, t, row);
      if (!(exact > 0.0)) clash = row;
      step.distance[e] = r = Real(exact);
    }
    if constexpr (S::local) {
      const bool near = e < end && r < step.cutoff;
      const Votes votes = count_votes(near);
      if (near) {
        step.near.edge[kept + votes.before] = e;
        step.near.row[kept + votes.before] = row;
      }
      kept += votes.all;
    }
  }
#pragma unroll
  for (int bit = 1; bit < warp_size; bit *= 2) {
    const int other = __shfl_xor_sync(all_lanes, clash, bit);
    clash = other > clash ? other : clash;
  }
  if (lane_here() != 0) return;
  step.clash[t] = clash;
  if constexpr (S::local) step.near.end[t] = kept;
}

/// Which of the edges that lead to a row are within the cutoff. By a warp.
template <class S> __device__ __forceinline__ void sift_back(const Step<typename S::Real> &step, int row)
{
  const int first = step.in.back_first[row], end = step.in.back_first[row + 1];
  int kept = first;
  for (int start = first; start < end; start += warp_size) {
    const int n = start + lane_here(), token = n < end ? step.in.back_token[n] : -1;
    const bool near = n < end && typename S::Real(distance(step, token, row)) < step.cutoff;
    const Votes votes = count_votes(near);
    if (near) {
      step.near.back_edge[kept + votes.before] = step.in.back_edge[n];
      step.near.back_token[kept + votes.before] = token;
    }
    kept += votes.all;
  }
  if (lane_here() == 0) step.near.back_end[row] = kept;
}

/// Tokens before the first layer: element, charge, multiplicity and, if the network sees it, the place from the middle
/// of the molecule. By a warp.
template <class S> __device__ __forceinline__ void embed(const Step<typename S::Real> &step, int t)
{
  double place[3] = {0.0, 0.0, 0.0};
  if constexpr (S::coordinates) {
    const int begin = step.in.begin[t], end = step.in.end[t];
    for (int x = 0; x < 3; x++) {
      double sum = 0.0;
      for (int i = begin + lane_here(); i < end; i += warp_size) sum += step.in.positions[3 * i + x];
      place[x] = step.in.positions[3 * t + x] - sum_warp(sum) / (end - begin);
    }
  }
  const double *species = step.weights.species + step.in.species[t] * S::dim;
  const double *charge = step.weights.charge + step.in.charge[t] * S::dim;
  const double *multiplicity = step.weights.multiplicity + step.in.multiplicity[t] * S::dim;
  for (int i = lane_here(); i < S::dim; i += warp_size) {
    double sum = species[i] + charge[i] + multiplicity[i];
    if constexpr (S::coordinates)
      for (int x = 0; x < 3; x++) sum += step.weights.coordinates[3 * i + x] * place[x];
    step.token[static_cast<long long>(t) * S::dim + i] = typename S::Real(sum);
  }
}

/// Cosines and sines of a row's phases in one layer. Angles are formed and reduced in float64, so that float32 loses no
/// digits far from the origin. By a warp.
template <class S> __device__ __forceinline__ void set_phases(const Step<typename S::Real> &step, int row, int layer)
{
  using Real = typename S::Real;
  double along[3];
#pragma unroll
  for (int x = 0; x < 3; x++) along[x] = step.in.positions[3 * static_cast<long long>(row) + x];
  if (row >= step.in.counts->tokens && step.in.owner[row] < step.in.counts->tokens) {
    const double *owner = step.in.positions + 3 * static_cast<long long>(step.in.owner[row]);
#pragma unroll
    for (int x = 0; x < 3; x++) along[x] -= owner[x];
  }
  Real *to = of_layer(step.phase, layer, step.most_rows, S::dim) + static_cast<long long>(row) * S::dim;
  for (int pair = lane_here(); pair < S::pairs; pair += warp_size) {
    const double *w = step.weights.exact_frequencies + 3 * (static_cast<long long>(layer) * S::pairs + pair);
    double halves = (along[0] * w[0] + along[1] * w[1] + along[2] * w[2]) * 0.31830988618379067154;
    halves -= 2.0 * rint(0.5 * halves);
    Real both[2];
    sine_cosine_pi(Real(halves), both[1], both[0]);
    store<2>(to + 2 * pair, both);
  }
}

/// What the layers start from, of one row: its phases in a layer and, beside those of the first, distances and the token.
/// By a warp.
template <class S> __device__ __forceinline__ void begin_row(const Step<typename S::Real> &step, int row, int layer)
{
  set_phases<S>(step, row, layer);
  if (layer > 0) return;
  if constexpr (S::local)
    if (step.near.back_end) sift_back<S>(step, row);
  if (row >= step.in.counts->tokens) return;
  measure_edges<S>(step, row);
  embed<S>(step, row);
}

/// What the layers start from: phases of all rows in all layers, distances, tokens. A warp takes a row; the grid's second
/// dimension is layers.
template <class S> __device__ __forceinline__ void begin(const Step<typename S::Real> &step, int)
{
  if (const int row = warp_here(); row < step.in.counts->rows) begin_row<S>(step, row, blockIdx.y);
}

/// Energy of a token, zero if it does not count. By a warp.
template <class S> __device__ __forceinline__ void set_energy(const Step<typename S::Real> &step, int t)
{
  using Real = typename S::Real;
  const Real *hidden = step.hidden + static_cast<long long>(t) * S::dim;
  Real sum = Real(0);
  for (int i = lane_here(); i < S::dim; i += warp_size)
    sum += hidden[i] * sigmoid(hidden[i]) * step.weights.energy_output[i];
  sum = sum_warp(sum) + step.energy_shift;
  if (lane_here() != 0) return;
  double energy = double(sum) * step.energy_scale + step.weights.reference[step.in.species[t]];
  if constexpr (!S::local)
    if (step.weights.charge_energies)
      energy += step.weights.charge_energies[step.in.charge[t]] / (step.in.end[t] - step.in.begin[t]);
  step.out.energies[t] = step.in.owned[t] ? energy : 0.0;
}

/// Energies of the tokens. A warp takes a token.
template <class S> __device__ __forceinline__ void energies(const Step<typename S::Real> &step, int)
{
  const int t = warp_here();
  if (t < step.in.counts->tokens) set_energy<S>(step, t);
}

/// Sum of the energies, and whether atoms lie at one position. One block, of which `sum_threads` threads add up.
template <class S> __device__ __forceinline__ void energy_sum(const Step<typename S::Real> &step, int)
{
  TRANSIP_SHARED(double, sums, sum_threads / warp_size);
  TRANSIP_SHARED(int, clashes, sum_threads / warp_size);
  const bool adds = threadIdx.x < sum_threads;
  double sum = 0.0;
  int clash = -1;
  for (int t = threadIdx.x; adds && t < step.in.counts->tokens; t += sum_threads) {
    sum += step.out.energies[t];
    clash = step.clash[t] > clash ? step.clash[t] : clash;
  }
  sum = sum_warp(sum);
#pragma unroll
  for (int bit = 1; bit < warp_size; bit *= 2) {
    const int other = __shfl_xor_sync(all_lanes, clash, bit);
    clash = other > clash ? other : clash;
  }
  const int warp = threadIdx.x / warp_size;
  if (adds && lane_here() == 0) {
    sums[warp] = sum;
    clashes[warp] = clash;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int other = 1; other < sum_threads / warp_size; other++) {
    sum += sums[other];
    clash = clashes[other] > clash ? clashes[other] : clash;
  }
  *step.out.energy = sum;
  *step.out.clash = clash;
}

/// Gradient by the place that a token sees of itself, before the molecule's mean is taken off. By a warp.
template <class S> __device__ __forceinline__ void pull_token(const Step<typename S::Real> &step, int t)
{
  using Real = typename S::Real;
  const NormBack<Real, S::dim> source = {step.gradient_between, step.pending, step.normal_one, step.deviation_one,
                                         nullptr};
  Real two[2];
  source.prepare(t, two);
  double sum[3] = {0.0, 0.0, 0.0};
  for (int i = 4 * lane_here(); i < S::dim; i += 4 * warp_size) {
    Real gradient[4];
    source.four(t, i, two, gradient);
    for (int j = 0; j < 4; j++)
      for (int x = 0; x < 3; x++) sum[x] += step.weights.coordinates[3 * (i + j) + x] * double(gradient[j]);
  }
  for (int x = 0; x < 3; x++) {
    const double whole = sum_warp(sum[x]);
    if (lane_here() == 0) step.pull[3 * t + x] = whole;
  }
}

/// Gradient by the places that tokens see of themselves. A warp takes a token.
template <class S> __device__ __forceinline__ void pull(const Step<typename S::Real> &step, int)
{
  if (const int t = warp_here(); t < step.in.counts->tokens) pull_token<S>(step, t);
}

/// Force on a row: by way of distances, from both ends of every edge, of phases and of coordinates. By a warp.
template <class S> __device__ __forceinline__ void force_on_row(const Step<typename S::Real> &step, int row)
{
  double sum[3] = {0.0, 0.0, 0.0};
  const auto add = [&](int e, int token, int to, double sign) {
    typename S::Real slope = 0;
    for (int group = 0; group < Split<S>::groups; group++)
      slope += step.slopes[static_cast<long long>(group) * step.most_edges + e];
    double along[3];
    displacement(step, token, to, along);
    const double push = sign * double(slope) / length(along);
#pragma unroll
    for (int x = 0; x < 3; x++) sum[x] += push * along[x];
  };
  const Edges<S> edges(step);
  if (row < step.in.counts->tokens) {
    const int end = edges.end(row);
    for (int n = step.in.first[row] + lane_here(); n < end; n += warp_size) add(edges.edge(n), row, edges.row(n), 1.0);
  }
  const int end = edges.back_end(row);
  for (int n = step.in.back_first[row] + lane_here(); n < end; n += warp_size)
    add(edges.back_edge(n), edges.back_token(n), row, -1.0);
#pragma unroll
  for (int x = 0; x < 3; x++) {
    double whole = sum_warp(sum[x]) - double(step.phase_gradient[3 * static_cast<long long>(row) + x]);
    if constexpr (S::coordinates) {
      const int begin = step.in.begin[row], end = step.in.end[row];
      double mean = 0.0;
      for (int i = begin + lane_here(); i < end; i += warp_size) mean += step.pull[3 * i + x];
      whole -= step.pull[3 * row + x] - sum_warp(mean) / (end - begin);
    }
    if (lane_here() == 0) step.out.forces[3 * static_cast<long long>(row) + x] = whole * step.energy_scale;
  }
}

/// Forces on all rows. A warp takes a row.
template <class S> __device__ __forceinline__ void forces(const Step<typename S::Real> &step, int)
{
  if (const int row = warp_here(); row < step.in.counts->rows) force_on_row<S>(step, row);
}

}  // namespace transip::cuda
