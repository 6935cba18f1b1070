// Features of attention: all heads side by side, so that one vector serves several.
//
// A row's features are [width, lanes]: feature by feature, and of each feature one lane for every head, padded with
// heads whose weights are zero. What belongs to a head, as a logit, is [lanes]. Edges come four at a time: what they
// have for each head, [batch, lanes], is a whole number of vectors.
#pragma once

#include "lanes.h"

namespace transip::native {
namespace {

/// Edges at a time.
constexpr int edge_batch = 4;

/// Number that a lambda takes as a constant.
template <int count> struct Width {
  static constexpr int value = count;
};

/// Call with one of the numbers of lanes that there are, as a constant.
template <typename Call> inline void with_lanes(int lanes, Call call)
{
  switch (lanes) {
    case 4: return call(Width<4>{});
    case 8: return call(Width<8>{});
    default: return call(Width<16>{});
  }
}

template <typename Real, int lanes> struct Heads {
  using L = Lanes<Real>;
  using V = typename L::V;
  static constexpr int size = L::size;
  /// Vectors that hold one feature of all heads; with fewer heads than lanes one vector holds several features.
  static constexpr int vectors = lanes > size ? lanes / size : 1;
  /// Edges, or features of one edge, that share a vector.
  static constexpr int group = lanes < size ? size / lanes : 1;
  static constexpr int batch = edge_batch;
  static constexpr int batch_vectors = batch * lanes / size;
  static_assert(batch % group == 0);

  /// One value for each head, repeated to fill a vector.
  struct PerHead {
    V value[vectors];
  };

  static PerHead zero() { return PerHead{}; }

  /// [lanes] values.
  static inline PerHead load(const Real *from)
  {
    PerHead heads;
    if constexpr (group == 1) {
      for (int a = 0; a < vectors; a++) heads.value[a] = L::load(from + a * size);
    } else {
      heads.value[0] = repeated(from);
    }
    return heads;
  }

  /// The other way.
  static inline void store(Real *to, const PerHead &heads)
  {
    std::memcpy(to, heads.value, sizeof(Real) * lanes);
  }

  /// The vector of one number for each edge, number `vector` of [edges, lanes]; reads a whole vector.
  static inline V of_edges(const Real *numbers, int vector)
  {
    if constexpr (group == 1)
      return L::all(numbers[vector / vectors]);
    else
      return __builtin_shuffle(L::load(numbers + vector * group), L::places([](int i) { return i / lanes; }));
  }

  /// Sums over heads of what a batch of edges has for each, [batch, lanes], to [batch] += them.
  static inline void add_heads(const V (&of_heads)[batch_vectors], Real *to)
  {
    Real sums[batch];
    if constexpr (group == 1) {
      for (int edge = 0; edge < batch; edge++) {
        V total = of_heads[edge * vectors];
        for (int a = 1; a < vectors; a++) total += of_heads[edge * vectors + a];
        sums[edge] = L::sum(total);
      }
    } else {
      for (int i = 0; i < batch_vectors; i++) {
        const V total = L::template fold<1, lanes>(of_heads[i], [](V one, V other) { return one + other; });
        const V numbers = __builtin_shuffle(total, L::places([](int place) { return place * lanes % size; }));
        std::memcpy(sums + i * group, &numbers, group * sizeof(Real));
      }
    }
    typename L::Four there, here;
    std::memcpy(&there, to, sizeof there);
    std::memcpy(&here, sums, sizeof here);
    there += here;
    std::memcpy(to, &there, sizeof there);
  }

  /// Combine what the features, or edges, of a vector have for each head.
  template <typename Operation> static inline PerHead fold(PerHead heads, Operation operation)
  {
    if constexpr (group > 1) heads.value[0] = L::template fold<lanes, size>(heads.value[0], operation);
    return heads;
  }
  static inline PerHead sum(PerHead heads)
  {
    return fold(heads, [](V one, V other) { return one + other; });
  }
  static inline PerHead largest(PerHead heads)
  {
    return fold(heads, [](V one, V other) { return one > other ? one : other; });
  }

  /// Sums over the features in each vector of `batch` edges, as [batch, lanes].
  static inline void gather(const V (&partial)[batch][vectors], V (&to)[batch_vectors])
  {
    if constexpr (group == 1) {
      for (int edge = 0; edge < batch; edge++)
        for (int a = 0; a < vectors; a++) to[edge * vectors + a] = partial[edge][a];
    } else if constexpr (group == 2) {
      for (int v = 0; v < batch_vectors; v++) to[v] = halves(partial[2 * v][0], partial[2 * v + 1][0]);
    } else {
      static_assert(group == 4);
      const V one = halves(partial[0][0], partial[1][0]), two = halves(partial[2][0], partial[3][0]);
      const auto even = [](int i) { return i / lanes * 2 * lanes + i % lanes; };
      to[0] = __builtin_shuffle(one, two, L::places(even)) +
          __builtin_shuffle(one, two, L::places([=](int i) { return even(i) + lanes; }));
    }
  }

 private:
  /// Sum of the halves of one vector, then of another.
  static inline V halves(V one, V two)
  {
    const auto low = [](int i) { return i < size / 2 ? i : size / 2 + i; };
    return __builtin_shuffle(one, two, L::places(low)) +
        __builtin_shuffle(one, two, L::places([=](int i) { return low(i) + size / 2; }));
  }

  static inline V repeated(const Real *from)
  {
    // As a load that repeats, which costs no shuffle. Masked by ones: GCC 12 warns of the forms without a mask.
#if defined(__AVX512F__)
    if constexpr (sizeof(Real) == 4 && lanes == 4)
      return reinterpret_cast<V>(_mm512_maskz_broadcast_f32x4(0xffff, _mm_loadu_ps(from)));
    else if constexpr (sizeof(Real) == 4 && lanes == 8)
      return reinterpret_cast<V>(_mm512_maskz_broadcast_f32x8(0xffff, _mm256_loadu_ps(from)));
    else
      return reinterpret_cast<V>(_mm512_maskz_broadcast_f64x4(0xff, _mm256_loadu_pd(from)));
#elif defined(__AVX2__)
    return reinterpret_cast<V>(_mm256_broadcast_ps(reinterpret_cast<const __m128 *>(from)));
#else
    return L::load(from);
#endif
  }
};

}  // namespace
}  // namespace transip::native
