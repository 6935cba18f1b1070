// Features of attention: all heads side by side, so that one vector serves several.
//
// A row's features are [width, lanes]: feature by feature, and of each feature one lane for every head, padded with
// heads whose weights are zero. What belongs to a head, as a logit, is [lanes].
#pragma once

#include "lanes.h"

namespace transip::native {
namespace {

template <typename Real, int lanes> struct Heads {
  using L = Lanes<Real>;
  using V = typename L::V;
  using I = typename L::I;
  static constexpr int size = L::size;
  /// Vectors that hold one feature of all heads; with fewer heads than lanes one vector holds several features.
  static constexpr int vectors = lanes > size ? lanes / size : 1;

  /// One value for each head, repeated to fill a vector.
  struct PerHead {
    V value[vectors];
  };

  static PerHead zero() { return PerHead{}; }

  /// [lanes] values; reads a whole vector.
  static inline PerHead load(const Real *from)
  {
    PerHead heads;
    if constexpr (lanes >= size) {
      for (int a = 0; a < vectors; a++) heads.value[a] = L::load(from + a * size);
    } else {
      I repeat;
      for (int i = 0; i < size; i++) repeat[i] = i % lanes;
      heads.value[0] = __builtin_shuffle(L::load(from), repeat);
    }
    return heads;
  }

  static inline void store(Real *to, const PerHead &heads) { std::memcpy(to, heads.value, lanes * sizeof(Real)); }

  /// Add up what the features of one head have in several lanes.
  static inline PerHead fold(PerHead heads)
  {
    if constexpr (lanes < size) {
#pragma GCC unroll 4
      for (int step = lanes; step < size; step *= 2) {
        I other;
        for (int i = 0; i < size; i++) other[i] = i ^ step;
        heads.value[0] += __builtin_shuffle(heads.value[0], other);
      }
    }
    return heads;
  }

  /// Scalar products of two rows of features, `count` vectors long, head by head.
  static inline PerHead dot(const V *one, const Real *other, int count)
  {
    PerHead heads = zero();
    for (int m = 0; m < count; m++) heads.value[m % vectors] += one[m] * L::load(other + m * size);
    return fold(heads);
  }
};

}  // namespace
}  // namespace transip::native
