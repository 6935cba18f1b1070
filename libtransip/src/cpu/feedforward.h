// The gated feed-forward: y = W2 (silu(a) u) with [a, u] = W1 n, n the normalised token, silu(a) = a s(a).
//
// Backward, with h = W2^T dE/dy: dE/da = h u s (1 + a (1 - s)), dE/du = h a s, dE/dn = W1^T [dE/da, dE/du].
#pragma once

#include "dense.h"
#include "norm.h"
#include "state.h"
#include "engine_weights.h"

namespace transip::native {
namespace {

template <typename Real> class FeedForward {
  using L = Lanes<Real>;
  using V = typename L::V;
  static constexpr int size = L::size;

 public:
  FeedForward(const EngineWeights<Real> &weights, const State<Real> &state, const LayerNorm<Real> &norm)
      : weights_(weights), state_(state), norm_(norm)
  {
  }

  /// token() += y for tokens from `start` on.
  void forward(int l, std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) const
  {
    const LayerWeights<Real> &w = weights_.layer[l];
    const int inner = weights_.shape.feedforward, wide = weights_.shape.wide;
    const FeedForwardState<Real> kept = state_.feedforward(l, start, scratch);
    for (std::int64_t t = 0; t < count; t++)
      kept.deviation[t] = norm_.forward(state_.token(start + t), kept.normal + t * wide);
    apply(w.gate_and_value.forward, count, kept.normal, wide, kept.gates, 2 * inner);
    for (std::int64_t t = 0; t < count; t++) {
      const Real *gate = kept.gates + t * 2 * inner;
      for (int i = 0; i < inner; i += size) {
        const V a = L::load(gate + i);
        L::store(scratch.one + t * inner + i, a * sigmoid<Real>(a) * L::load(gate + inner + i));
      }
    }
    add(w.feedforward_output.forward, count, scratch.one, inner, state_.token(start), wide);
  }

  /// gradient() from that by token() behind the feed-forward to that before it.
  void back(int l, std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) const
  {
    const LayerWeights<Real> &w = weights_.layer[l];
    const int inner = weights_.shape.feedforward, wide = weights_.shape.wide;
    const FeedForwardState<Real> kept = state_.feedforward(l, start, scratch);
    apply(w.feedforward_output.back, count, state_.gradient(start), wide, scratch.one, inner);
    for (std::int64_t t = 0; t < count; t++) {
      const Real *gate = kept.gates + t * 2 * inner, *h = scratch.one + t * inner;
      Real *to = scratch.two + t * 2 * inner;
      for (int i = 0; i < inner; i += size) {
        const V a = L::load(gate + i), s = sigmoid<Real>(a), here = L::load(h + i);
        L::store(to + i, here * L::load(gate + inner + i) * s * (Real(1) + a * (Real(1) - s)));
        L::store(to + inner + i, here * a * s);
      }
    }
    apply(w.gate_and_value.back, count, scratch.two, 2 * inner, scratch.one, wide);
    for (std::int64_t t = 0; t < count; t++)
      norm_.back(scratch.one + t * wide, kept.normal + t * wide, kept.deviation[t], state_.gradient(start + t));
  }

 private:
  const EngineWeights<Real> &weights_;
  const State<Real> &state_;
  const LayerNorm<Real> &norm_;
};

}  // namespace
}  // namespace transip::native
