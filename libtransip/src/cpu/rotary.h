// Rotary phases: features come in pairs (a, b), rotated at a row by the angle w . r of the pair's frequency w.
//
//   rotated:       a' = a cos - b sin,   b' = a sin + b cos
//   by the angle: da'/dangle = -b',     db'/dangle = a'
//
// so that the gradient by the row's position r is sum over pairs of (g_b' a' - g_a' b') w, with g = dE/d(rotated).
#pragma once

#include "state.h"
#include "engine_weights.h"

namespace transip::native {
namespace {

template <typename Real> class Rotary {
  using L = Lanes<Real>;
  using V = typename L::V;
  using D = Lanes<double>;
  static constexpr int size = L::size;

 public:
  Rotary(const EngineWeights<Real> &weights, const State<Real> &state) : weights_(weights), state_(state) {}

  /// Cosines and sines of a row in a layer; place in Angstrom.
  void fill(int l, std::int64_t row, const double *place) const
  {
    const int half = weights_.shape.half;
    const double *w = weights_.layer[l].exact_frequencies;
    Real *phase = state_.phase(l, row);
    cosines_and_sines<Real>(
        half,
        [=](int i) {
          return place[0] * D::load(w + i) + place[1] * D::load(w + half + i) + place[2] * D::load(w + 2 * half + i);
        },
        phase, phase + half);
  }

  /// to = from rotated by the phases of a row; back: rotated the other way; past: past the caches.
  template <bool back, bool past = false> void rotate(int l, std::int64_t row, const Real *from, Real *to) const
  {
    const int half = weights_.shape.half;
    const Real *cosine = state_.phase(l, row), *sine = cosine + half;
    for (int i = 0; i < half; i += size) {
      const V c = L::load(cosine + i), s = back ? -L::load(sine + i) : L::load(sine + i);
      const V a = L::load(from + i), b = L::load(from + half + i);
      const auto put = past ? L::stream : L::store;
      put(to + i, a * c - b * s);
      put(to + half + i, a * s + b * c);
    }
  }

  /// Gradient by a place, to be summed up.
  struct Position {
    V x{}, y{}, z{};
  };

  /// Gradient by the position of features `rotated` whose gradient is g.
  Position along(int l, const Real *rotated, const Real *g) const
  {
    const int half = weights_.shape.half;
    Position sum;
    for (int i = 0; i < half; i += size)
      add(l, i, L::load(g + half + i) * L::load(rotated + i) - L::load(g + i) * L::load(rotated + half + i), sum);
    return sum;
  }

  /// sum += angle's gradient for the pairs i to i + size, times their frequencies.
  void add(int l, int i, V gradient, Position &sum) const
  {
    const int half = weights_.shape.half;
    const Real *w = weights_.layer[l].frequencies;
    sum.x += gradient * L::load(w + i);
    sum.y += gradient * L::load(w + half + i);
    sum.z += gradient * L::load(w + 2 * half + i);
  }

  void add_to_row(std::int64_t row, const Position &sum) const
  {
    L::add_sums(sum.x, sum.y, sum.z, state_.place_gradient(row));
  }

 private:
  const EngineWeights<Real> &weights_;
  const State<Real> &state_;
};

}  // namespace
}  // namespace transip::native
