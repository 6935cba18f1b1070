// Kernels that turn the results of tokens and rows into those of atoms and of the structure; sums have a fixed order.
#pragma once

#include "base.cuh"
#include "totals.h"

namespace transip::cuda {

constexpr int repelled_numbers = 13, summed_numbers = 10;

/// The envelope of python/transip_md/model/radial.py at x = r / reach < 1, and its derivative.
__device__ __forceinline__ void fade(double x, double &value, double &slope)
{
  const double rest = 1.0 - x, square = rest * rest, x2 = x * x;
  value = square * rest * (1.0 + x * (3.0 + x * (6.0 + x * (10.0 + x * (15.0 + x * 21.0)))));
  slope = -168.0 * x2 * x2 * x * square;
}

/// Energy (eV) of two atoms of these kinds at a distance (Angstrom), and its derivative.
__device__ __forceinline__ void repulsion_of(const Repulsion &by, int one, int other, double distance, double &energy,
                                             double &slope)
{
  // Universal screening function: amplitudes, decays, and the screening length of two charges of Z = 1, times 2.
  const double amplitudes[4] = {0.18175, 0.50986, 0.28022, 0.02817}, decays[4] = {3.19980, 0.94229, 0.40290, 0.20162};
  constexpr double screening_length = 0.46850;
  energy = slope = 0.0;
  double reach = by.radius[one] + by.radius[other];
  if (by.cutoff > 0.0 && by.cutoff < reach) reach = by.cutoff;
  if (!(distance < reach)) return;
  const double inverse_length = (by.screening[one] + by.screening[other]) / screening_length;
  double screened = 0.0, steepness = 0.0, value, fading;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const double part = amplitudes[i] * exp(-decays[i] * inverse_length * distance);
    screened += part;
    steepness -= decays[i] * inverse_length * part;
  }
  fade(distance / reach, value, fading);
  const double bare = by.coulomb * by.charge[one] * by.charge[other] / distance;
  energy = bare * screened * value;
  slope = bare * ((steepness - screened / distance) * value + screened * fading / reach);
}

/// Repulsion of each token by its neighbours. Every pair is in the lists of both atoms, so that the force is the whole
/// one and energy and virial are a half. By a warp.
__device__ __forceinline__ void repel_token(const Totals &totals, int t)
{
  double sums[repelled_numbers] = {};
  const double *here = totals.lists.positions + 3 * static_cast<long long>(t);
  for (int e = totals.lists.first[t] + lane_here(); e < totals.lists.first[t + 1]; e += warp_size) {
    const int row = totals.lists.row[e];
    const double *there = totals.lists.positions + 3 * static_cast<long long>(row);
    const double along[3] = {there[0] - here[0], there[1] - here[1], there[2] - here[2]};
    const double square = along[0] * along[0] + along[1] * along[1] + along[2] * along[2];
    if (!(square < totals.repulsion.longest * totals.repulsion.longest)) continue;
    double energy, slope;
    repulsion_of(totals.repulsion, totals.lists.species[t], totals.lists.species[totals.lists.owner[row]], sqrt(square),
                 energy, slope);
    sums[0] += 0.5 * energy;
    const double push = slope / sqrt(square);
    for (int x = 0; x < 3; x++) {
      sums[1 + x] += push * along[x];
      for (int y = 0; y < 3; y++) sums[4 + 3 * x + y] -= 0.5 * push * along[x] * along[y];
    }
  }
#pragma unroll
  for (int i = 0; i < repelled_numbers; i++) {
    const double sum = sum_warp(sums[i]);
    if (lane_here() == 0) totals.repelled[repelled_numbers * static_cast<long long>(t) + i] = sum;
  }
}

/// Repulsion of all tokens. A warp takes a token.
__device__ __forceinline__ void repel(const Totals &totals, int)
{
  if (const int t = warp_here(); t < totals.lists.counts->tokens) repel_token(totals, t);
}

/// Energies and forces by atoms. A thread takes a token.
__device__ __forceinline__ void fold_atoms(const Totals &totals, int)
{
  const int t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t >= totals.lists.counts->tokens) return;
  const double *repelled = totals.repelled + repelled_numbers * static_cast<long long>(t);
  const long long atom = totals.order[t];
  totals.of_energies[atom] = totals.rows.energies[t] + (totals.repels ? repelled[0] : 0.0);
  if (!totals.forces) return;
  for (int x = 0; x < 3; x++) {
    double sum = totals.rows.forces[3 * static_cast<long long>(t) + x] + (totals.repels ? repelled[1 + x] : 0.0);
#pragma unroll 1
    for (int n = totals.lists.image_first[t]; n < totals.lists.image_first[t + 1]; n++)
      sum += totals.rows.forces[3 * static_cast<long long>(totals.lists.image_row[n]) + x];
    totals.of_forces[3 * atom + x] = sum;
  }
}

/// Virials by atoms. A thread takes a token.
__device__ __forceinline__ void fold_virials(const Totals &totals, int)
{
  const int t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t >= totals.lists.counts->tokens) return;
  const double *from = totals.rows.virials + 9 * static_cast<long long>(t);
  const double *repelled = totals.repelled + repelled_numbers * static_cast<long long>(t) + 4;
  double *to = totals.of_virials + 9 * static_cast<long long>(totals.order[t]);
  for (int i = 0; i < 9; i++) to[i] = from[i] + (totals.repels ? repelled[i] : 0.0);
}

/// Add up what each of a block's first `sum_threads` threads has; the sums are in the first thread.
__device__ __forceinline__ void sum_block(double (&numbers)[summed_numbers])
{
  constexpr int warps = sum_threads / warp_size;
  TRANSIP_SHARED(double, sums, warps * summed_numbers);
#pragma unroll
  for (int i = 0; i < summed_numbers; i++) {
    numbers[i] = sum_warp(numbers[i]);
    if (lane_here() == 0 && threadIdx.x < sum_threads) sums[threadIdx.x / warp_size * summed_numbers + i] = numbers[i];
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 1; warp < warps; warp++)
#pragma unroll
    for (int i = 0; i < summed_numbers; i++) numbers[i] += sums[warp * summed_numbers + i];
}

/// Energy and virial of rows, one of each of a block's threads, or -1; the sums are in the first thread.
__device__ __forceinline__ void sum_rows(const Totals &totals, int row, double (&numbers)[summed_numbers])
{
  for (int i = 0; i < summed_numbers; i++) numbers[i] = 0.0;
  if (row >= 0) {
    const bool token = row < totals.lists.counts->tokens;
    const double *repelled = totals.repelled + repelled_numbers * static_cast<long long>(row);
    if (token) numbers[0] = totals.rows.energies[row] + (totals.repels ? repelled[0] : 0.0);
    if (totals.virial) {
      const double *place = totals.lists.positions + 3 * static_cast<long long>(row),
                   *force = totals.rows.forces + 3 * static_cast<long long>(row);
      for (int x = 0; x < 3; x++)
        for (int y = 0; y < 3; y++)
          numbers[1 + 3 * x + y] = place[x] * force[y] + (token && totals.repels ? repelled[4 + 3 * x + y] : 0.0);
    }
  }
  sum_block(numbers);
}

/// Energy and virial of each `sum_threads` rows. A block takes them.
__device__ __forceinline__ void sum_chunks(const Totals &totals, int)
{
  const int first = blockIdx.x * sum_threads;
  if (first >= totals.lists.counts->rows) return;
  const int row = first + threadIdx.x;
  double numbers[summed_numbers];
  sum_rows(totals, row < totals.lists.counts->rows ? row : -1, numbers);
  if (threadIdx.x != 0) return;
  for (int i = 0; i < summed_numbers; i++) totals.sums[summed_numbers * static_cast<long long>(blockIdx.x) + i] = numbers[i];
}

/// What the host is told, with these sums. By one thread.
__device__ __forceinline__ void report_sums(const Totals &totals, const double (&numbers)[summed_numbers])
{
  StepReport &report = *totals.report;
  report.energy = numbers[0];
  for (int i = 0; i < 9; i++) report.virial[i] = numbers[1 + i];
  report.needed = *totals.needed;
  report.moved = *totals.moved;
  report.moved_far = *totals.moved_far;
  const int clash = *totals.rows.clash;
  report.clash = clash < 0 ? -1 : totals.order[totals.lists.owner[clash]];
}

/// What the host is told. One block.
__device__ __forceinline__ void sum_all(const Totals &totals, int)
{
  const int chunks = (totals.lists.counts->rows + sum_threads - 1) / sum_threads;
  double numbers[summed_numbers] = {};
  for (int chunk = threadIdx.x; chunk < chunks; chunk += sum_threads)
    for (int i = 0; i < summed_numbers; i++) numbers[i] += totals.sums[summed_numbers * static_cast<long long>(chunk) + i];
  sum_block(numbers);
  if (threadIdx.x == 0) report_sums(totals, numbers);
}

/// Energy and virial of one of several structures, in the chunks and the order that its rows would have alone. A block takes
/// a structure.
__device__ __forceinline__ void sum_structures(const Totals &totals, int)
{
  const int structure = blockIdx.x, tokens = totals.box[structure].atoms, first = totals.box[structure].first_atom;
  const int first_image = totals.lists.image_first[first], images = totals.lists.image_first[first + tokens] - first_image;
  // Lists that have no room are empty, and the step is done again.
  const int rows = totals.lists.counts->tokens > 0 ? tokens + images : 0, chunks = (rows + sum_threads - 1) / sum_threads;
  // Behind the chunks of the structures before it, each of which may have begun one more.
  double *sums = totals.sums + summed_numbers * static_cast<long long>((first + first_image) / sum_threads + structure);
  double numbers[summed_numbers];
  for (int chunk = 0; chunk < chunks; chunk++) {
    const int place = chunk * sum_threads + threadIdx.x;
    const int row = place < tokens ? first + place : totals.lists.counts->tokens + first_image + place - tokens;
    sum_rows(totals, place < rows ? row : -1, numbers);
    for (int i = 0; threadIdx.x == 0 && i < summed_numbers; i++) sums[summed_numbers * chunk + i] = numbers[i];
    __syncthreads();
  }
  for (int i = 0; i < summed_numbers; i++) numbers[i] = 0.0;
  for (int chunk = threadIdx.x; chunk < chunks; chunk += sum_threads)
    for (int i = 0; i < summed_numbers; i++) numbers[i] += sums[summed_numbers * chunk + i];
  sum_block(numbers);
  if (threadIdx.x != 0) return;
  totals.structure_energies[structure] = numbers[0];
  for (int i = 0; i < 9; i++) totals.structure_virials[9 * structure + i] = numbers[1 + i];
}

/// The nearer of two, and of those that are as near the one with the smaller number.
__device__ __forceinline__ void take_nearer(double &distance, int &number, double other_distance, int other_number)
{
  if (other_distance > distance || (other_distance == distance && other_number >= number)) return;
  distance = other_distance;
  number = other_number;
}

__device__ __forceinline__ void take_nearest_of_warp(double &distance, int &number)
{
#pragma unroll
  for (int bit = 1; bit < warp_size; bit *= 2) {
    const double other_distance = __shfl_xor_sync(all_lanes, distance, bit);
    take_nearer(distance, number, other_distance, __shfl_xor_sync(all_lanes, number, bit));
  }
}

constexpr double far_away = 1e300;  // Angstrom

/// The nearest row of a token. By a warp.
__device__ __forceinline__ void find_nearest_of(const Totals &totals, int t)
{
  const double *here = totals.lists.positions + 3 * static_cast<long long>(t);
  double distance = far_away;
  int nearest = t;
  for (int e = totals.lists.first[t] + lane_here(); e < totals.lists.first[t + 1]; e += warp_size) {
    const double *there = totals.lists.positions + 3 * static_cast<long long>(totals.lists.row[e]);
    double square = 0.0;
    for (int x = 0; x < 3; x++) square += (there[x] - here[x]) * (there[x] - here[x]);
    take_nearer(distance, nearest, sqrt(square), totals.lists.row[e]);
  }
  take_nearest_of_warp(distance, nearest);
  if (lane_here() != 0) return;
  totals.nearest[t] = distance;
  totals.nearest_row[t] = nearest;
}

/// The nearest row of each token. A warp takes a token.
__device__ __forceinline__ void find_nearest(const Totals &totals, int)
{
  if (const int t = warp_here(); t < totals.lists.counts->tokens) find_nearest_of(totals, t);
}

/// The two atoms that are nearest. One block, of which `sum_threads` threads look.
__device__ __forceinline__ void take_nearest(const Totals &totals, int)
{
  TRANSIP_SHARED(double, distances, sum_threads / warp_size);
  TRANSIP_SHARED(int, tokens, sum_threads / warp_size);
  double distance = far_away;
  int token = 0;
  for (int t = threadIdx.x; t < totals.lists.counts->tokens; t += sum_threads)
    take_nearer(distance, token, totals.nearest[t], t);
  take_nearest_of_warp(distance, token);
  if (lane_here() == 0 && threadIdx.x < sum_threads) {
    distances[threadIdx.x / warp_size] = distance;
    tokens[threadIdx.x / warp_size] = token;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 1; warp < sum_threads / warp_size; warp++) take_nearer(distance, token, distances[warp], tokens[warp]);
  totals.report->nearest = distance;
  if (!(distance < far_away)) return;
  totals.report->pair[0] = totals.order[token];
  totals.report->pair[1] = totals.order[totals.lists.owner[totals.nearest_row[token]]];
}

}  // namespace transip::cuda
