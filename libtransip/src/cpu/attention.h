// Attention of each token to the rows of its edges, head by head.
//
//   logit_ij = q_i . k_j + b(r_ij)        share_ij = w(r_ij) exp(logit_ij - max_j logit_ij),    Z_i = sum_j share_ij
//   mixed_i  = sum_j share_ij v_j / Z_i   with queries, keys and values rotated by their rows' phases
//
// With g_i = dE/d(mixed_i) / Z_i, rotated by i's phases:
//
//   dE/d(logit_ij) = share_ij (g_i . v_j - g_i . mixed_i)     dE/dr_ij += dE/d(logit_ij) (b' + w' / w)
//   dE/dq_i = sum_j dE/d(logit_ij) k_j        dE/dk_j = sum_i dE/d(logit_ij) q_i       dE/dv_j = sum_i share_ij g_i
//
// Sums over j are made token by token, sums over i row by row, each in the order of its list.
#pragma once

#include "edges.h"
#include "heads.h"
#include "rotary.h"
#include "state.h"

namespace transip::native {
namespace {

/// Attention for any number of lanes.
template <typename Real> class Attention {
 public:
  virtual ~Attention() = default;
  /// mixed() of a token.
  virtual void forward(int l, std::int64_t token) const = 0;
  /// Backward of a token, from mixed_gradient() not yet rotated: this rotated, gradients by logits and distances, and by
  /// the query, rotated back, in three().
  virtual void back_to_token(int l, std::int64_t token, Real *rotated) const = 0;
  /// Gradient by key and value of an owner, rotated back, over all of its rows, to own_key_gradient() if `wanted`, and
  /// by the rows' places. work: [2 features].
  virtual void back_to_owner(int l, std::int64_t owner, bool wanted, Real *work) const = 0;
  /// W_t -= r_ij (x) dE/dr_ij over a token's edges: by way of the phases of a layer, and in the last by the distances.
  /// virial: [9] of the token; positions as in Input.
  virtual void add_virial(int l, std::int64_t token, const double *positions, double *virial) const = 0;
};

template <typename Real, int lanes> class AttentionOfLanes final : public Attention<Real> {
  using L = Lanes<Real>;
  using V = typename L::V;
  using H = Heads<Real, lanes>;
  using PerHead = typename H::PerHead;
  static constexpr int size = L::size, batch = H::batch;
  /// Vectors of features of which there are registers for those of a key and a value.
  static constexpr int few = 4;

 public:
  AttentionOfLanes(const EngineWeights<Real> &weights, const State<Real> &state, const Edges<Real> &edges,
                   const Rotary<Real> &rotary)
      : shape_(weights.shape), state_(state), edges_(edges), rotary_(rotary)
  {
  }

  void forward(int l, std::int64_t token) const override
  {
    switch (shape_.vectors) {
      case 4: return forward<4>(l, token);
      case 8: return forward<8>(l, token);
      default: return forward<0>(l, token);
    }
  }

  void back_to_token(int l, std::int64_t token, Real *rotated) const override
  {
    switch (shape_.vectors) {
      case 4: return back_to_token<4>(l, token, rotated);
      case 8: return back_to_token<8>(l, token, rotated);
      default: return back_to_token<0>(l, token, rotated);
    }
  }

  void back_to_owner(int l, std::int64_t owner, bool wanted, Real *work) const override
  {
    Real *to = wanted ? state_.own_key_gradient(owner) : nullptr;
    if (to) std::memset(to, 0, sizeof(Real) * 2 * static_cast<std::size_t>(shape_.features));
    const Real *own = state_.own_key(l, owner);
    if (shape_.vectors == few)
      edges_.for_rows(owner, [&](std::int64_t row) { back_to_row<few>(l, row, own, to, work); });
    else
      edges_.for_rows(owner, [&](std::int64_t row) { back_to_row<0>(l, row, own, to, work); });
  }

  void add_virial(int l, std::int64_t token, const double *positions, double *virial) const override;

 private:
  template <int fixed> void forward(int l, std::int64_t token) const;
  template <int fixed> void back_to_token(int l, std::int64_t token, Real *rotated) const;
  template <typename Gradient>
  void give_to_owner(int l, std::int64_t row, int vectors, const Real *own, Real *to, Gradient gradient) const;
  template <int fixed> void back_to_row(int l, std::int64_t row, const Real *own, Real *to, Real *work) const;

  /// Scalar products of x [features] with the rows of four edges, head by head, [batch, lanes].
  template <int fixed>
  inline void dots(const Real *x, const Real *rows, const std::int32_t *row, V (&to)[H::batch_vectors]) const
  {
    const int vectors = fixed ? fixed : shape_.vectors;
    const std::int64_t stride = 2 * std::int64_t(vectors) * size;
    const Real *one = rows + row[0] * stride, *two = rows + row[1] * stride, *three = rows + row[2] * stride,
               *four = rows + row[3] * stride;
    V partial[batch][H::vectors] = {};
    for (int m = 0; m < vectors; m += H::vectors)
#pragma GCC unroll 8
      for (int a = 0; a < H::vectors; a++) {
        const int place = (m + a) * size;
        const V here = L::load(x + place);
        partial[0][a] += here * L::load(one + place);
        partial[1][a] += here * L::load(two + place);
        partial[2][a] += here * L::load(three + place);
        partial[3][a] += here * L::load(four + place);
      }
    H::gather(partial, to);
  }

  /// Ask for keys and values of four rows.
  template <int fixed> static inline void ask_for(const Real *keys, const std::int32_t *row)
  {
    for (int e = 0; e < batch; e++)
      for (int m = 0; m < 2 * fixed; m++) __builtin_prefetch(keys + (std::int64_t(row[e]) * 2 * fixed + m) * size);
  }

  /// Sums over edges of their coefficients, one for each head, times `some` vectors of their rows.
  template <int some> class Mixture {
    // Twice as many as are wanted where they are few: an addition waits for the one before.
    static constexpr int sets = some <= 4 ? 2 : 1;
    V sum_[sets][some] = {};

   public:
    /// The first `count` of four edges; coefficient: [batch, lanes]; rows: of the first vector; stride: from one row to the
    /// next.
    inline void add(std::int64_t count, const Real *coefficient, const Real *rows, const std::int32_t *row,
                    std::int64_t stride)
    {
#pragma GCC unroll 4
      for (int e = 0; e < batch; e++) {
        // Where an edge is little work, padded ones cost less than to ask for them.
        if (sets == 1 && e >= count) break;
        const PerHead times = H::load(coefficient + e * lanes);
        const Real *from = rows + row[e] * stride;
#pragma GCC unroll 8
        for (int i = 0; i < some; i++) sum_[e % sets][i] += times.value[i % H::vectors] * L::load(from + i * size);
      }
    }
    inline V sum(int i) const { return sets == 2 ? sum_[0][i] + sum_[1][i] : sum_[0][i]; }
  };

  /// to = sum over edges of their coefficients [edges, lanes], times their rows, for `some` vectors from number m on.
  template <int some>
  inline void mix(std::int64_t count, const Real *coefficient, const Real *rows, const std::int32_t *row, int m,
                  Real *to) const
  {
    Mixture<some> mixture;
    for (std::int64_t e = 0; e < count; e += batch)
      mixture.add(count - e, coefficient + e * lanes, rows + m * size, row + e, row_stride());
    for (int i = 0; i < some; i++) L::store(to + (m + i) * size, mixture.sum(i));
  }
  /// The same for all vectors.
  inline void mix(std::int64_t count, const Real *coefficient, const Real *rows, const std::int32_t *row, Real *to) const
  {
    constexpr int many = 8;
    int m = 0;
    for (; m + many <= shape_.vectors; m += many) mix<many>(count, coefficient, rows, row, m, to);
    for (; m < shape_.vectors; m += H::vectors) mix<H::vectors>(count, coefficient, rows, row, m, to);
  }

  /// x [features] *= one number for each head.
  inline void scale(Real *x, const PerHead &by) const
  {
    for (int m = 0; m < shape_.vectors; m++) L::store(x + m * size, L::load(x + m * size) * by.value[m % H::vectors]);
  }

  /// From one row's key to the next's.
  std::int64_t row_stride() const { return 2 * std::int64_t(shape_.vectors) * size; }

  const Shape &shape_;
  const State<Real> &state_;
  const Edges<Real> &edges_;
  const Rotary<Real> &rotary_;
};

template <typename Real, int lanes>
template <int fixed>
void AttentionOfLanes<Real, lanes>::forward(int l, std::int64_t token) const
{
  const std::int64_t first = edges_.first(token), count = edges_.end(token) - first, real = edges_.real(token);
  const std::int32_t *row = edges_.row(first);
  const Real *weight = edges_.weight(first), *query = state_.query(l, token), *keys = state_.keys(l);
  Real *share = edges_.share(l, first);

  PerHead largest;
  for (int a = 0; a < H::vectors; a++) largest.value[a] = L::all(Real(-1.0e30));
  for (std::int64_t e = 0; e < count; e += batch) {
    V logit[H::batch_vectors];
    dots<fixed>(query, keys, row + e, logit);
    if (state_.from_afar) {
      ask_for<fixed>(keys, row + e + Edges<Real>::ahead);
      __builtin_prefetch(share + (e + Edges<Real>::ahead) * lanes);
    }
#pragma GCC unroll 32
    for (int i = 0; i < H::batch_vectors; i++) {
      Real *place = share + e * lanes + i * size;
      logit[i] += L::load(place);
      V &most = largest.value[i % H::vectors];
      most = logit[i] > most ? logit[i] : most;
      L::store(place, logit[i]);
    }
  }
  largest = H::largest(largest);

  PerHead total = H::zero();
  Mixture<fixed ? fixed : H::vectors> mixture;
  for (std::int64_t e = 0; e < count; e += batch) {
    Real *here = share + e * lanes;
#pragma GCC unroll 32
    for (int i = 0; i < H::batch_vectors; i++) {
      const V power = exponential<Real>(L::load(here + i * size) - largest.value[i % H::vectors]);
      const V part = power * H::of_edges(weight + e, i);
      total.value[i % H::vectors] += part;
      L::store(here + i * size, part);
    }
    if constexpr (fixed > 0) mixture.add(real - e, here, state_.values(l), row + e, row_stride());
  }
  total = H::sum(total);
  PerHead inverse;
  for (int a = 0; a < H::vectors; a++) inverse.value[a] = Real(1) / total.value[a];
  H::store(state_.inverse(l, token), inverse);

  Real *mixed = state_.mixed(l, token);
  if constexpr (fixed > 0) {
    for (int m = 0; m < fixed; m++) L::store(mixed + m * size, mixture.sum(m) * inverse.value[m % H::vectors]);
  } else {
    mix(real, share, state_.values(l), row, mixed);
    scale(mixed, inverse);
  }
  // Rotated back by the receiver's phase, so that values too depend on r_j - r_i only.
  if (shape_.rotary_values) rotary_.template rotate<true>(l, token, mixed, mixed);
}

template <typename Real, int lanes>
template <int fixed>
void AttentionOfLanes<Real, lanes>::back_to_token(int l, std::int64_t token, Real *rotated) const
{
  const int vectors = fixed ? fixed : shape_.vectors;
  const std::int64_t first = edges_.first(token), count = edges_.end(token) - first, real = edges_.real(token);
  const std::int32_t *row = edges_.row(first);
  const Real *keys = state_.keys(l);
  const Real *share = edges_.share(l, first);
  Real *slope = edges_.slope(l, first);
  Real *g = state_.mixed_gradient(l, token), *mixed = state_.mixed(l, token), *radial = edges_.radial(first);

  if (shape_.rotary_values) {
    const auto place = rotary_.along(l, mixed, g);
    rotary_.add_to_row(token, {-place.x, -place.y, -place.z});
  }
  scale(g, H::load(state_.inverse(l, token)));
  PerHead along = H::zero();
  for (int m = 0; m < vectors; m++) along.value[m % H::vectors] += L::load(g + m * size) * L::load(mixed + m * size);
  along = H::sum(along);
  if (shape_.rotary_values) rotary_.template rotate<false>(l, token, g, g);

  Mixture<fixed ? fixed : H::vectors> mixture;
  for (std::int64_t e = 0; e < count; e += batch) {
    V gain[H::batch_vectors];
    dots<fixed>(g, state_.values(l), row + e, gain);
    if (state_.from_afar) {
      ask_for<fixed>(keys, row + e + Edges<Real>::ahead);
      __builtin_prefetch(share + (e + Edges<Real>::ahead) * lanes);
      __builtin_prefetch(slope + (e + Edges<Real>::ahead) * lanes);
    }
#pragma GCC unroll 32
    for (int i = 0; i < H::batch_vectors; i++) {
      const std::int64_t place = e * lanes + i * size;
      const V change = L::load(share + place) * (gain[i] - along.value[i % H::vectors]);
      gain[i] = change * L::load(slope + place);
      L::store(slope + place, change);
    }
    H::add_heads(gain, radial + e);
    if constexpr (fixed > 0) mixture.add(real - e, slope + e * lanes, keys, row + e, row_stride());
  }
  if constexpr (fixed > 0)
    for (int m = 0; m < fixed; m++) L::store(rotated + m * size, mixture.sum(m));
  else
    mix(real, slope, keys, row, rotated);
  rotary_.add_to_row(token, rotary_.along(l, state_.query(l, token), rotated));
  rotary_.template rotate<true>(l, token, rotated, state_.three(token));
}

/// own: key and value of the row's owner; to: their gradients, may be null; work: [2 features].
template <typename Real, int lanes>
template <int fixed>
void AttentionOfLanes<Real, lanes>::back_to_row(int l, std::int64_t row, const Real *own, Real *to, Real *work) const
{
  constexpr int some = fixed ? fixed : H::vectors > 4 ? H::vectors : 4;
  const int features = shape_.features, vectors = fixed ? fixed : shape_.vectors;
  const auto *incoming = edges_.incoming(row);
  const std::int64_t count = edges_.incoming_count(row);
  const Real *to_logits = edges_.slope(l, 0), *shares = edges_.share(l, 0), *queries = state_.queries(l);
  // `now` vectors from number m on.
  const auto collect = [&](int m, auto width, auto take) {
    constexpr int now = decltype(width)::value;
    V to_key[now] = {}, to_value[now] = {};
    for (std::int64_t i = 0; i < count; i++) {
      // Edges that lead to a row lie far apart, a line for each: asked for early, they are there when their turn comes.
      const std::int64_t edge = incoming[i].edge, later = incoming[i + Edges<Real>::ahead].edge;
      if (state_.from_afar) {
        __builtin_prefetch(to_logits + later * lanes);
        __builtin_prefetch(shares + later * lanes);
      }
      const PerHead to_logit = H::load(to_logits + edge * lanes), weighted = H::load(shares + edge * lanes);
      const Real *query = queries + std::int64_t(incoming[i].token) * row_stride() + m * size, *gradient = query + features;
#pragma GCC unroll 8
      for (int k = 0; k < now; k++) {
        to_key[k] += to_logit.value[k % H::vectors] * L::load(query + k * size);
        to_value[k] += weighted.value[k % H::vectors] * L::load(gradient + k * size);
      }
    }
    take(to_key, to_value);
  };
  if constexpr (fixed > 0) {
    collect(0, Width<fixed>{}, [&](const V(&to_key)[fixed], const V(&to_value)[fixed]) {
      give_to_owner(l, row, vectors, own, to, [&](int i) { return i < fixed ? to_key[i] : to_value[i - fixed]; });
    });
  } else {
    const auto part = [&](int m, auto width) {
      constexpr int now = decltype(width)::value;
      collect(m, width, [&](const V(&to_key)[now], const V(&to_value)[now]) {
        for (int k = 0; k < now; k++) {
          L::store(work + (m + k) * size, to_key[k]);
          L::store(work + features + (m + k) * size, to_value[k]);
        }
      });
    };
    int m = 0;
    for (; m + some <= vectors; m += some) part(m, Width<some>{});
    for (; m < vectors; m += H::vectors) part(m, Width<H::vectors>{});
    give_to_owner(l, row, vectors, own, to, [&](int i) { return L::load(work + i * size); });
  }
}

/// Gradients by key and value of a row, gradient(i) vector i of them, to the row's place and to its owner.
template <typename Real, int lanes>
template <typename Gradient>
inline void AttentionOfLanes<Real, lanes>::give_to_owner(int l, std::int64_t row, int vectors, const Real *own, Real *to,
                                                         Gradient gradient) const
{
  const int half = vectors / 2;
  const Real *cosine = state_.phase(l, row), *sine = cosine + half * size;
  const auto add = [&](int i, V value) { L::store(to + i * size, L::load(to + i * size) + value); };
  typename Rotary<Real>::Position place;
#pragma GCC unroll 4
  for (int m = 0; m < half; m++) {
    const V c = L::load(cosine + m * size), s = L::load(sine + m * size);
    V angle{};
#pragma GCC unroll 2
    for (int i = m; i < 2 * vectors; i += vectors) {
      V a = gradient(i), b = gradient(i + half);
      if (i < vectors || shape_.rotary_values) {
        const V first = a * c + b * s;
        b = b * c - a * s;
        a = first;
        angle += b * L::load(own + i * size) - a * L::load(own + (i + half) * size);
      }
      if (to) {
        add(i, a);
        add(i + half, b);
      }
    }
    rotary_.add(l, m * size, angle, place);
  }
  rotary_.add_to_row(row, place);
}

template <typename Real, int lanes>
void AttentionOfLanes<Real, lanes>::add_virial(int l, std::int64_t token, const double *positions, double *virial) const
{
  const double *here = positions + 3 * token;
  const int half = shape_.half, features = shape_.features;
  const Real *q = state_.query(l, token), *g = state_.mixed_gradient(l, token);
  for (std::int64_t e = edges_.first(token); e < edges_.end(token); e++) {
    const Real *k = state_.key(l, *edges_.row(e)), *v = k + features;
    const PerHead to_logit = H::load(edges_.slope(l, e)), weighted = H::load(edges_.share(l, e));
    typename Rotary<Real>::Position sum;
    for (int m = 0; m * size < half; m++) {
      const int i = m * size;
      V angle = to_logit.value[m % H::vectors] *
          (L::load(q + half + i) * L::load(k + i) - L::load(q + i) * L::load(k + half + i));
      if (shape_.rotary_values)
        angle += weighted.value[m % H::vectors] *
            (L::load(g + half + i) * L::load(v + i) - L::load(g + i) * L::load(v + half + i));
      rotary_.add(l, i, angle, sum);
    }
    const double *there = positions + 3 * std::int64_t(*edges_.row(e));
    const double r[3] = {there[0] - here[0], there[1] - here[1], there[2] - here[2]};
    const double stretch = l == 0 ? edges_.stretch(e) : 0.0;
    const double g[3] = {L::sum(sum.x) + stretch * r[0], L::sum(sum.y) + stretch * r[1],
                         L::sum(sum.z) + stretch * r[2]};
    for (int a = 0; a < 3; a++)
      for (int b = 0; b < 3; b++) virial[3 * a + b] -= r[a] * g[b];
  }
}

}  // namespace
}  // namespace transip::native
