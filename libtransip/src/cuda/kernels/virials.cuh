// Virials of single atoms, where they are wanted: W_t = -sum over the edges t -> j of r_tj (x) dE/dr_tj with r_tj = r_j - r_t,
// as in ../../cpu/native_model.h. They sum to the virial of the structure.
#pragma once

#include "geometry.cuh"

namespace transip::cuda {

/// Take r (x) gradient off a virial.
template <typename Real> __device__ __forceinline__ void take_off(double (&virial)[9], const double (&r)[3],
                                                                  const Real (&gradient)[3])
{
#pragma unroll
  for (int a = 0; a < 3; a++)
#pragma unroll
    for (int b = 0; b < 3; b++) virial[3 * a + b] -= r[a] * double(gradient[b]);
}

/// What the edges of a token give by way of the phases at their rows, in one layer; added to that of the layers behind. Comes
/// after `attend_back_tokens` of the layer. A warp takes a token and a group of heads.
template <class S> __device__ __forceinline__ void attend_back_virials(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  using P = Split<S>;
  static_assert(P::features % 2 == 0, "a lane has whole rotary pairs");
  const Position<S> place(warp_here());
  const int t = place.item;
  if (t >= step.in.counts->tokens) return;
  const Real *key = of_layer(step.key, layer, step.most_rows, S::dim) + place.offset;
  const Real *value = of_layer(step.value, layer, step.most_rows, S::dim) + place.offset;
  const Real *frequency = step.weights.frequencies + 3 * (static_cast<long long>(layer) * S::pairs + place.offset / 2);
  const long long mine = static_cast<long long>(t) * S::dim;
  Real query[P::features], gradient[P::features], other[P::features];
  load<P::features>(query, of_layer(step.query, layer, step.most_tokens, S::dim) + mine + place.offset);
  load<P::features>(gradient, step.gradient_mixed + mine + place.offset);
  const Real lse = of_layer(step.lse, layer, step.most_tokens, S::heads)[t * S::heads + place.head];
  const Real along = step.along[t * S::heads + place.head];

  double virial[9] = {};
  const Edges<S> edges(step);
  const int first = step.in.first[t], end = edges.end(t);
  for (int start = first; start < end; start += P::slots) {
    const int n = start + place.slot;
    const bool there = n < end;
    const int row = there ? edges.row(n) : t;
    const long long at_row = static_cast<long long>(row) * S::dim;
    load<P::features>(other, value + at_row);
    const Real gain = dot<S>(gradient, other);
    load<P::features>(other, key + at_row);
    const Real product = dot<S>(query, other);
    if (!there) continue;
    const Radial<Real> at = radial<S>(step, layer, place.head, step.distance[edges.edge(n)]);
    const Real share = exponential(product + at.bias - lse) * at.weight, to_logit = share * (gain - along);
    Real by[3] = {Real(0), Real(0), Real(0)};
    const auto add = [&](const Real (&from)[P::features], Real factor) {
#pragma unroll
      for (int i = 0; i < P::features; i += 2) {
        const Real phase = factor * (from[i + 1] * other[i] - from[i] * other[i + 1]);
#pragma unroll
        for (int x = 0; x < 3; x++) by[x] += phase * frequency[3 * (i / 2) + x];
      }
    };
    add(query, to_logit);
    if constexpr (S::rotary_values) {
      load<P::features>(other, value + at_row);
      add(gradient, share);
    }
    double r[3];
    displacement(step, t, row, r);
    take_off(virial, r, by);
  }
  double *to = step.phase_virials + 9 * (static_cast<long long>(place.group) * step.most_tokens + t);
#pragma unroll
  for (int i = 0; i < 9; i++) {
    const double sum = sum_warp(virial[i]);
    if (lane_here() == 0) to[i] = layer + 1 == step.layers ? sum : to[i] + sum;
  }
}

/// The same by way of the distances of all layers, and the sum, in eV. A warp takes a token.
template <class S> __device__ __forceinline__ void virials(const Step<typename S::Real> &step, int)
{
  const int t = warp_here();
  if (t >= step.in.counts->tokens) return;
  double virial[9] = {};
  const Edges<S> edges(step);
  const int end = edges.end(t);
  for (int n = step.in.first[t] + lane_here(); n < end; n += warp_size) {
    typename S::Real slope = 0;
    for (int group = 0; group < Split<S>::groups; group++)
      slope += step.slopes[static_cast<long long>(group) * step.most_edges + edges.edge(n)];
    double r[3], by[3];
    displacement(step, t, edges.row(n), r);
    const double stretch = double(slope) / length(r);
#pragma unroll
    for (int x = 0; x < 3; x++) by[x] = stretch * r[x];
    take_off(virial, r, by);
  }
#pragma unroll
  for (int i = 0; i < 9; i++) {
    double sum = sum_warp(virial[i]);
    for (int group = 0; group < Split<S>::groups; group++)
      sum += step.phase_virials[9 * (static_cast<long long>(group) * step.most_tokens + t) + i];
    if (lane_here() == 0) step.out.virials[9 * static_cast<long long>(t) + i] = sum * step.energy_scale;
  }
}

}  // namespace transip::cuda
