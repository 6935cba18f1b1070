// Attention over a token's edges and the token itself, forward and backward, as gathers: every number has one writer.
//
// A warp takes a token (or, in `attend_back_rows`, a row) and a group of heads. Its lanes are [slots][heads][parts]: a
// slot works on one edge at a time, a part holds some features of one head in registers.
#pragma once

#include "dense.cuh"

namespace transip::cuda {

/// How heads are dealt out to lanes.
template <class S> struct Split {
  static constexpr HeadSplit split = split_heads(S::width, S::heads, sizeof(typename S::Real));
  static constexpr int parts = split.parts, heads = split.heads, groups = split.groups, slots = split.slots;
  static constexpr int features = S::width / parts, slot_bit = heads * parts;
};

/// What a lane works on.
template <class S> struct Position {
  int item, head, slot, part, offset, group;

  /// warp: among those of all items, tokens or rows, `groups` of each; its item is beyond the last where there is nothing
  /// to do.
  __device__ __forceinline__ explicit Position(int warp)
  {
    using P = Split<S>;
    const int lane = lane_here();
    item = warp / P::groups;
    group = warp % P::groups;
    slot = lane / P::slot_bit;
    head = group * P::heads + lane % P::slot_bit / P::parts;
    part = lane % P::parts;
    offset = head * S::width + part * P::features;
  }
};

template <class S, int features> __device__ __forceinline__ typename S::Real dot(const typename S::Real (&a)[features],
                                                                                 const typename S::Real (&b)[features])
{
  typename S::Real sum = 0;
#pragma unroll
  for (int i = 0; i < features; i++) sum += a[i] * b[i];
  return sum_lanes<1, Split<S>::parts>(sum);
}

/// Add up the features over all slots and store them.
///
/// While the count is even, each half of the slots goes on with one half of the features, so that fewer and fewer are
/// exchanged; the order of sums is fixed.
template <int features, int bit, typename Real>
__device__ __forceinline__ void store_sum(Real *to, const Real (&from)[features], bool mine = true)
{
  if constexpr (bit == warp_size) {
    if (mine) store<features>(to, from);
  } else if constexpr (features % 2 == 0) {
    constexpr int half = features / 2;
    const bool upper = (lane_here() & bit) != 0;
    Real kept[half];
#pragma unroll
    for (int i = 0; i < half; i++) {
      const Real keep = upper ? from[i + half] : from[i], give = upper ? from[i] : from[i + half];
      kept[i] = keep + __shfl_xor_sync(all_lanes, give, bit);
    }
    store_sum<half, 2 * bit>(to + (upper ? half : 0), kept, mine);
  } else {
    Real sum[features];
#pragma unroll
    for (int i = 0; i < features; i++) sum[i] = from[i] + __shfl_xor_sync(all_lanes, from[i], bit);
    store_sum<features, 2 * bit>(to, sum, mine && (lane_here() & bit) == 0);
  }
}

/// What the distance does to one head's logit.
template <typename Real> struct Radial {
  Real bias;    ///< added to the logit
  Real slope;   ///< its derivative, 1/Angstrom
  Real weight;  ///< factor of the share, in numerator and denominator
  Real fall;    ///< derivative of the weight, 1/Angstrom
};

/// The envelope of python/transip_md/model/radial.py and the bias from its table, at distance r (Angstrom).
template <class S>
__device__ __forceinline__ Radial<typename S::Real> radial(const Step<typename S::Real> &step, int layer, int head,
                                                           typename S::Real r)
{
  using Real = typename S::Real;
  Radial<Real> at{Real(0), Real(0), Real(1), Real(0)};
  if constexpr (S::local) {
    const Real x = r * step.inverse_cutoff, rest = x < Real(1) ? Real(1) - x : Real(0);
    const Real square = rest * rest, x2 = x * x;
    at.weight = square * rest *
        (Real(1) + x * (Real(3) + x * (Real(6) + x * (Real(10) + x * (Real(15) + x * Real(21))))));
    at.fall = Real(-168) * x2 * x2 * x * square * step.inverse_cutoff;
  }
  if constexpr (S::radial) {
    const Real place = r * step.inverse_spacing;
    const bool within = place < Real(step.pieces);
    const int piece = within ? static_cast<int>(place) : step.pieces - 1;
    const Real t = within ? place - Real(piece) : Real(1);
    const Real *c = step.weights.radial + (static_cast<long long>(layer) * step.pieces + piece) * 6 * S::heads + head;
    Real value = c[5 * S::heads], derivative = Real(5) * value;
#pragma unroll
    for (int power = 4; power >= 0; power--) {
      const Real next = c[power * S::heads];
      value = value * t + next;
      if (power > 0) derivative = derivative * t + next * Real(power);
    }
    at.bias = value;
    at.slope = within ? derivative * step.inverse_spacing : Real(0);
  }
  return at;
}

/// The edges that count: of a local model those within the cutoff, else all that are listed.
template <class S> struct Edges {
  const Inputs &lists;
  const NearEdges &near;

  __device__ __forceinline__ explicit Edges(const Step<typename S::Real> &step) : lists(step.in), near(step.near) {}
  __device__ __forceinline__ int end(int token) const { return S::local ? near.end[token] : lists.first[token + 1]; }
  __device__ __forceinline__ int edge(int n) const { return S::local ? near.edge[n] : n; }
  __device__ __forceinline__ int row(int n) const { return S::local ? near.row[n] : lists.row[n]; }
  __device__ __forceinline__ int back_end(int row) const
  {
    return S::local ? near.back_end[row] : lists.back_first[row + 1];
  }
  __device__ __forceinline__ int back_edge(int n) const { return S::local ? near.back_edge[n] : lists.back_edge[n]; }
  __device__ __forceinline__ int back_token(int n) const { return S::local ? near.back_token[n] : lists.back_token[n]; }
};

/// What the warp of this number has of the attention's result.
template <class S> __device__ __forceinline__ void attend_by(const Step<typename S::Real> &step, int layer, int warp)
{
  using Real = typename S::Real;
  using P = Split<S>;
  const Position<S> place(warp);
  const int t = place.item;
  if (t >= step.in.counts->tokens) return;
  const Real *key = of_layer(step.key, layer, step.most_rows, S::dim) + place.offset;
  const Real *value = of_layer(step.value, layer, step.most_rows, S::dim) + place.offset;
  const long long mine = static_cast<long long>(t) * S::dim;
  Real query[P::features], other[P::features], mixed[P::features];
  load<P::features>(query, of_layer(step.query, layer, step.most_tokens, S::dim) + mine + place.offset);
  load<P::features>(other, key + mine);
  // The token itself: weight 1, no bias.
  Real most = dot<S>(query, other), total = place.slot == 0 ? Real(1) : Real(0);
  load<P::features>(mixed, value + mine);
#pragma unroll
  for (int i = 0; i < P::features; i++) mixed[i] *= total;

  const Edges<S> edges(step);
  const int first = step.in.first[t], end = edges.end(t);
  for (int start = first; start < end; start += P::slots) {
    const int n = start + place.slot;
    const bool there = n < end;
    const long long row = there ? static_cast<long long>(edges.row(n)) * S::dim : mine;
    load<P::features>(other, key + row);
    Real logit = dot<S>(query, other);
    if (!there) continue;
    const Radial<Real> at = radial<S>(step, layer, place.head, step.distance[edges.edge(n)]);
    logit += at.bias;
    const Real highest = larger(logit, most), old = exponential(most - highest);
    const Real share = exponential(logit - highest) * at.weight;
    most = highest;
    total = total * old + share;
    load<P::features>(other, value + row);
#pragma unroll
    for (int i = 0; i < P::features; i++) mixed[i] = mixed[i] * old + share * other[i];
  }

  Real top = most;
#pragma unroll
  for (int bit = P::slot_bit; bit < warp_size; bit *= 2) top = larger(top, __shfl_xor_sync(all_lanes, top, bit));
  const Real scale = exponential(most - top);
  total = sum_lanes<P::slot_bit, warp_size>(total * scale);
#pragma unroll
  for (int i = 0; i < P::features; i++) mixed[i] *= scale / total;
  store_sum<P::features, P::slot_bit>(of_layer(step.mixed, layer, step.most_tokens, S::dim) + mine + place.offset, mixed);
  if (place.slot == 0 && place.part == 0)
    of_layer(step.lse, layer, step.most_tokens, S::heads)[t * S::heads + place.head] = top + logarithm(total);
}

/// Gradient by queries, and by the distances of the edges: what layers add up in their order. By the warp of this number.
template <class S>
__device__ __forceinline__ void attend_back_tokens_by(const Step<typename S::Real> &step, int layer, int warp)
{
  using Real = typename S::Real;
  using P = Split<S>;
  const Position<S> place(warp);
  const int t = place.item;
  if (t >= step.in.counts->tokens) return;
  const Real *key = of_layer(step.key, layer, step.most_rows, S::dim) + place.offset;
  const Real *value = of_layer(step.value, layer, step.most_rows, S::dim) + place.offset;
  const long long mine = static_cast<long long>(t) * S::dim;
  Real query[P::features], gradient[P::features], to_query[P::features], other[P::features];
  load<P::features>(query, of_layer(step.query, layer, step.most_tokens, S::dim) + mine + place.offset);
  load<P::features>(gradient, step.gradient_mixed + mine + place.offset);
  load<P::features>(other, of_layer(step.mixed, layer, step.most_tokens, S::dim) + mine + place.offset);
  const Real along = dot<S>(gradient, other);
  const Real lse = of_layer(step.lse, layer, step.most_tokens, S::heads)[t * S::heads + place.head];
  if (place.slot == 0 && place.part == 0) step.along[t * S::heads + place.head] = along;
#pragma unroll
  for (int i = 0; i < P::features; i++) to_query[i] = Real(0);

  Real *slopes = step.slopes + static_cast<long long>(place.group) * step.most_edges;
  const Edges<S> edges(step);
  const int first = step.in.first[t], end = edges.end(t);
  // One edge more than there are: the token itself.
  for (int start = first; start <= end; start += P::slots) {
    const int n = start + place.slot;
    const bool edge = n < end;
    const int e = edge ? edges.edge(n) : 0;
    const long long row = edge ? static_cast<long long>(edges.row(n)) * S::dim : mine;
    Radial<Real> at{Real(0), Real(0), n == end ? Real(1) : Real(0), Real(0)};
    if (edge) at = radial<S>(step, layer, place.head, step.distance[e]);
    load<P::features>(other, value + row);
    const Real gain = dot<S>(gradient, other);
    load<P::features>(other, key + row);
    const Real logit = dot<S>(query, other) + at.bias;
    const Real change = exponential(logit - lse) * (gain - along), to_logit = change * at.weight;
#pragma unroll
    for (int i = 0; i < P::features; i++) to_query[i] += to_logit * other[i];
    const Real push = edge ? change * (at.slope * at.weight + at.fall) : Real(0);
    const Real sum = sum_lanes<P::parts, P::slot_bit>(push);
    if (edge && lane_here() % P::slot_bit == 0) slopes[e] = layer + 1 == step.layers ? sum : slopes[e] + sum;
  }
  store_sum<P::features, P::slot_bit>(step.gradient_query + mine + place.offset, to_query);
}

/// Gradient by keys and values of all rows, by the lists of the edges that lead to them. By the warp of this number.
template <class S>
__device__ __forceinline__ void attend_back_rows_by(const Step<typename S::Real> &step, int layer, int warp)
{
  using Real = typename S::Real;
  using P = Split<S>;
  const Position<S> place(warp);
  const int row = place.item;
  if (row >= step.in.counts->rows) return;
  const bool is_token = row < step.in.counts->tokens;
  const Real *query = of_layer(step.query, layer, step.most_tokens, S::dim) + place.offset;
  const Real *gradient = step.gradient_mixed + place.offset;
  const Real *lse = of_layer(step.lse, layer, step.most_tokens, S::heads) + place.head;
  const Real *along = step.along + place.head;
  const long long mine = static_cast<long long>(row) * S::dim + place.offset;
  Real key[P::features], value[P::features], to_key[P::features], to_value[P::features], other[P::features];
  load<P::features>(key, of_layer(step.key, layer, step.most_rows, S::dim) + mine);
  load<P::features>(value, of_layer(step.value, layer, step.most_rows, S::dim) + mine);
#pragma unroll
  for (int i = 0; i < P::features; i++) to_key[i] = to_value[i] = Real(0);

  const Edges<S> edges(step);
  const int first = step.in.back_first[row], end = edges.back_end(row), last = is_token ? end : end - 1;
  for (int start = first; start <= last; start += P::slots) {
    const int n = start + place.slot;
    const bool edge = n < end, self = is_token && n == end;
    const Real r = edge ? step.distance[edges.back_edge(n)] : Real(0);
    const int t = edge ? edges.back_token(n) : is_token ? row : 0;
    Radial<Real> at{Real(0), Real(0), self ? Real(1) : Real(0), Real(0)};
    if (edge) at = radial<S>(step, layer, place.head, r);
    const long long from = static_cast<long long>(t) * S::dim;
    load<P::features>(other, query + from);
    const Real logit = dot<S>(key, other) + at.bias - lse[t * S::heads];
    Real incoming[P::features];
    load<P::features>(incoming, gradient + from);
    // A lane without an edge looks at some token: what it finds there must not count, even where it overflows.
    const Real share = edge || self ? exponential(logit) * at.weight : Real(0);
    const Real change = share * (dot<S>(value, incoming) - along[t * S::heads]);
#pragma unroll
    for (int i = 0; i < P::features; i++) {
      to_key[i] += change * other[i];
      to_value[i] += share * incoming[i];
    }
  }
  store_sum<P::features, P::slot_bit>(step.gradient_key + mine, to_key);
  store_sum<P::features, P::slot_bit>(step.gradient_value + mine, to_value);
}

// ---- images --------------------------------------------------------------------------------------------------------

/// Keys and values of tokens as they were before they were rotated, for images of them elsewhere. A warp takes one of the
/// given.
template <class S> __device__ __forceinline__ void give_halo(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  const int place = warp_here();
  if (place >= step.in.counts->given) return;
  const long long mine = static_cast<long long>(step.in.given[place]) * S::dim;
  Real *to = step.given + 2 * static_cast<long long>(place) * S::dim;
  const Real *phase = of_layer(step.phase, layer, step.most_rows, S::dim) + mine;
  const Real *key = of_layer(step.key, layer, step.most_rows, S::dim) + mine;
  const Real *value = of_layer(step.value, layer, step.most_rows, S::dim) + mine;
  for (int i = 4 * lane_here(); i < S::dim; i += 4 * warp_size) {
    Real four[4];
    load<4>(four, key + i);
    rotate(four, phase + i, Real(-1));
    store<4>(to + i, four);
    load<4>(four, value + i);
    if constexpr (S::rotary_values) rotate(four, phase + i, Real(-1));
    store<4>(to + S::dim + i, four);
  }
}

/// Keys and values of the images of halo atoms, rotated by the phase of their place. Those of tokens' images: `project`.
template <class S> __device__ __forceinline__ void take_halo(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  const int row = step.in.counts->tokens + warp_here();
  if (row >= step.in.counts->rows) return;
  const int atom = step.in.owner[row] - step.in.counts->tokens;
  if (atom < 0) return;
  const long long to = static_cast<long long>(row) * S::dim;
  const Real *phase = of_layer(step.phase, layer, step.most_rows, S::dim) + to;
  Real *key = of_layer(step.key, layer, step.most_rows, S::dim) + to;
  Real *value = of_layer(step.value, layer, step.most_rows, S::dim) + to;
  const Real *from = step.halo + 2 * static_cast<long long>(atom) * S::dim;
  for (int i = 4 * lane_here(); i < S::dim; i += 4 * warp_size) {
    Real four[4];
    load<4>(four, from + i);
    rotate(four, phase + i, Real(1));
    store<4>(key + i, four);
    load<4>(four, from + S::dim + i);
    if constexpr (S::rotary_values) rotate(four, phase + i, Real(1));
    store<4>(value + i, four);
  }
}

/// Gradient by the phases of two pairs, along the three axes.
template <typename Real>
__device__ __forceinline__ void add_phase_gradient(Real (&to)[3], const Real (&features)[4], const Real (&gradient)[4],
                                                   const Real *frequency, Real sign)
{
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const Real phase = sign * (gradient[i + 1] * features[i] - gradient[i] * features[i + 1]);
#pragma unroll
    for (int x = 0; x < 3; x++) to[x] += phase * frequency[3 * (i / 2) + x];
  }
}

/// Numbers of a token that a lane holds, four at a time.
template <class S> constexpr int rounds = (S::dim + 4 * warp_size - 1) / (4 * warp_size);

/// Give a row its gradient by way of the phases of one layer, added to those of the layers behind.
template <class S>
__device__ __forceinline__ void give_phase_gradient(const Step<typename S::Real> &step, int layer, int row,
                                                    const typename S::Real (&along)[3])
{
  using Real = typename S::Real;
#pragma unroll
  for (int x = 0; x < 3; x++) {
    const Real sum = sum_warp(along[x]);
    Real *to = step.phase_gradient + 3 * static_cast<long long>(row) + x;
    if (lane_here() == 0) *to = layer + 1 == step.layers ? sum : *to + sum;
  }
}

/// Add the gradients by keys and values of an owner's images, rotated back to it; gradients by the phases of the images. The
/// owner is a token, or tokens + halo atom.
template <class S>
__device__ __forceinline__ void add_images(const Step<typename S::Real> &step, int layer, int owner,
                                           typename S::Real (&key)[rounds<S>][4],
                                           typename S::Real (&value)[rounds<S>][4])
{
  using Real = typename S::Real;
  const Real *phases = of_layer(step.phase, layer, step.most_rows, S::dim);
  const Real *keys = of_layer(step.key, layer, step.most_rows, S::dim);
  const Real *values = of_layer(step.value, layer, step.most_rows, S::dim);
  const Real *frequencies = step.weights.frequencies + static_cast<long long>(layer) * S::pairs * 3;
  for (int image = step.in.image_first[owner]; image < step.in.image_first[owner + 1]; image++) {
    const int row = step.in.image_row[image];
    const long long there = static_cast<long long>(row) * S::dim;
    Real along[3] = {Real(0), Real(0), Real(0)};
#pragma unroll
    for (int n = 0; n < rounds<S>; n++) {
      const int i = 4 * (lane_here() + n * warp_size);
      if (i >= S::dim) break;
      const Real *frequency = frequencies + i / 2 * 3;
      Real features[4], gradient[4];
      load<4>(features, keys + there + i);
      load<4>(gradient, step.gradient_key + there + i);
      add_phase_gradient(along, features, gradient, frequency, Real(1));
      rotate(gradient, phases + there + i, Real(-1));
#pragma unroll
      for (int j = 0; j < 4; j++) key[n][j] += gradient[j];
      load<4>(gradient, step.gradient_value + there + i);
      if constexpr (S::rotary_values) {
        load<4>(features, values + there + i);
        add_phase_gradient(along, features, gradient, frequency, Real(1));
        rotate(gradient, phases + there + i, Real(-1));
      }
#pragma unroll
      for (int j = 0; j < 4; j++) value[n][j] += gradient[j];
    }
    give_phase_gradient<S>(step, layer, row, along);
  }
}

/// Gradients by keys and values of halo atoms before they were rotated, and by the phases of their images. A warp takes a
/// halo atom.
template <class S> __device__ __forceinline__ void fold_halo(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  const int atom = warp_here();
  if (atom >= step.in.counts->halo) return;
  Real key[rounds<S>][4] = {}, value[rounds<S>][4] = {};
  add_images<S>(step, layer, step.in.counts->tokens + atom, key, value);
  Real *to = step.gradient_halo + 2 * static_cast<long long>(atom) * S::dim;
#pragma unroll
  for (int n = 0; n < rounds<S>; n++) {
    const int i = 4 * (lane_here() + n * warp_size);
    if (i >= S::dim) break;
    store<4>(to + i, key[n]);
    store<4>(to + S::dim + i, value[n]);
  }
}

/// Add to the gradients by a token's keys and values those that came from elsewhere, in the order in which the token is
/// given. A warp takes a token.
template <class S> __device__ __forceinline__ void fold_given(const Step<typename S::Real> &step, int)
{
  using Real = typename S::Real;
  const int t = warp_here();
  if (t >= step.in.counts->tokens || step.in.counts->given == 0) return;
  Real *to = step.gradient_three + 3 * static_cast<long long>(t) * S::dim + S::dim;
  for (int n = step.in.given_first[t]; n < step.in.given_first[t + 1]; n++) {
    const Real *from = step.given + 2 * static_cast<long long>(step.in.given_place[n]) * S::dim;
    for (int i = 4 * lane_here(); i < 2 * S::dim; i += 4 * warp_size) {
      Real sum[4], more[4];
      load<4>(sum, to + i);
      load<4>(more, from + i);
#pragma unroll
      for (int j = 0; j < 4; j++) sum[j] += more[j];
      store<4>(to + i, sum);
    }
  }
}

/// Gradients by a token's queries, keys and values before they were rotated, those of its images added, and by the phases
/// of the token and of its images. By a warp.
template <class S> __device__ __forceinline__ void fold_token(const Step<typename S::Real> &step, int layer, int t)
{
  using Real = typename S::Real;
  const Real *phases = of_layer(step.phase, layer, step.most_rows, S::dim);
  const Real *keys = of_layer(step.key, layer, step.most_rows, S::dim);
  const Real *values = of_layer(step.value, layer, step.most_rows, S::dim);
  const Real *frequencies = step.weights.frequencies + static_cast<long long>(layer) * S::pairs * 3;
  const long long mine = static_cast<long long>(t) * S::dim;
  const Real *query = of_layer(step.query, layer, step.most_tokens, S::dim) + mine;
  const Real *mixed = of_layer(step.mixed, layer, step.most_tokens, S::dim) + mine;

  Real own[3] = {Real(0), Real(0), Real(0)};
  // Lanes without features take part in the sums of the warp.
  Real key[rounds<S>][4], value[rounds<S>][4];
#pragma unroll
  for (int n = 0; n < rounds<S>; n++) {
    const int i = 4 * (lane_here() + n * warp_size);
    if (i >= S::dim) break;
    const Real *frequency = frequencies + i / 2 * 3;
    Real features[4], gradient[4];
    load<4>(features, query + i);
    load<4>(gradient, step.gradient_query + mine + i);
    add_phase_gradient(own, features, gradient, frequency, Real(1));
    rotate(gradient, phases + mine + i, Real(-1));
    store<4>(step.gradient_three + 3 * mine + i, gradient);
    load<4>(features, keys + mine + i);
    load<4>(key[n], step.gradient_key + mine + i);
    add_phase_gradient(own, features, key[n], frequency, Real(1));
    load<4>(value[n], step.gradient_value + mine + i);
    if constexpr (S::rotary_values) {
      load<4>(features, values + mine + i);
      add_phase_gradient(own, features, value[n], frequency, Real(1));
      load<4>(features, mixed + i);
      load<4>(gradient, step.gradient_mixed + mine + i);
      add_phase_gradient(own, features, gradient, frequency, Real(-1));
    }
  }
  give_phase_gradient<S>(step, layer, t, own);
  add_images<S>(step, layer, t, key, value);
#pragma unroll
  for (int n = 0; n < rounds<S>; n++) {
    const int i = 4 * (lane_here() + n * warp_size);
    if (i >= S::dim) break;
    rotate(key[n], phases + mine + i, Real(-1));
    if constexpr (S::rotary_values) rotate(value[n], phases + mine + i, Real(-1));
    store<4>(step.gradient_three + 3 * mine + S::dim + i, key[n]);
    store<4>(step.gradient_three + 3 * mine + 2 * S::dim + i, value[n]);
  }
}

// ---- kernels: a warp takes a token or row, of attention with a group of heads ---------------------------------------

template <class S> __device__ __forceinline__ void attend(const Step<typename S::Real> &step, int layer)
{
  attend_by<S>(step, layer, warp_here());
}

template <class S> __device__ __forceinline__ void attend_back_tokens(const Step<typename S::Real> &step, int layer)
{
  attend_back_tokens_by<S>(step, layer, warp_here());
}

template <class S> __device__ __forceinline__ void attend_back_rows(const Step<typename S::Real> &step, int layer)
{
  attend_back_rows_by<S>(step, layer, warp_here());
}

template <class S> __device__ __forceinline__ void fold(const Step<typename S::Real> &step, int layer)
{
  if (const int t = warp_here(); t < step.in.counts->tokens) fold_token<S>(step, layer, t);
}

}  // namespace transip::cuda
