// A token's energy: e = w . silu(W n) + c, n the normalised token.
//
// Backward: dE/dh = w s (1 + h (1 - s)) with h = W n and s = sigmoid(h), dE/dn = W^T dE/dh.
#pragma once

#include "dense.h"
#include "norm.h"
#include "state.h"
#include "engine_weights.h"

namespace transip::native {
namespace {

template <typename Real> class EnergyHead {
  using L = Lanes<Real>;
  using V = typename L::V;
  static constexpr int size = L::size;

 public:
  EnergyHead(const EngineWeights<Real> &weights, const State<Real> &state, const LayerNorm<Real> &norm)
      : weights_(weights), state_(state), norm_(norm)
  {
  }

  /// Energies [T] of tokens from `start` on, zero where not owned [T], and gradient() if it is wanted.
  ///
  /// normalised: if not null, n of all tokens, [T, dim].
  void run(std::int64_t start, std::int64_t count, const std::uint8_t *owned, double *energies, bool gradient,
           double *normalised, const Scratch<Real> &scratch) const
  {
    const int dim = weights_.shape.dim, wide = weights_.shape.wide;
    Real *normal = scratch.one, *hidden = scratch.two, *deviation = scratch.deviation;
    for (std::int64_t t = 0; t < count; t++)
      deviation[t] = norm_.forward(state_.token(start + t), normal + t * wide);
    if (normalised)
      for (std::int64_t t = 0; t < count; t++)
        for (int i = 0; i < dim; i++) normalised[(start + t) * dim + i] = normal[t * wide + i];
    apply(weights_.energy_hidden.forward, count, normal, wide, hidden, wide);
    for (std::int64_t t = 0; t < count; t++) {
      const bool counts = owned[start + t] != 0;
      V total{};
      Real *here = hidden + t * wide;
      for (int i = 0; i < wide; i += size) {
        const V h = L::load(here + i), s = sigmoid<Real>(h), w = L::load(weights_.energy_output + i);
        total += h * s * w;
        L::store(here + i, w * s * (Real(1) + h * (Real(1) - s)) * (counts ? Real(1) : Real(0)));
      }
      energies[start + t] = counts ? double(L::sum(total) + weights_.energy_shift) : 0.0;
    }
    if (!gradient) return;
    Real *by_normal = scratch.two + count * wide;
    apply(weights_.energy_hidden.back, count, hidden, wide, by_normal, wide);
    for (std::int64_t t = 0; t < count; t++) {
      Real *to = state_.gradient(start + t);
      std::memset(to, 0, sizeof(Real) * static_cast<std::size_t>(wide));
      norm_.back(by_normal + t * wide, normal + t * wide, deviation[t], to);
    }
  }

 private:
  const EngineWeights<Real> &weights_;
  const State<Real> &state_;
  const LayerNorm<Real> &norm_;
};

}  // namespace
}  // namespace transip::native
