// Vectors of the compiler, and the functions of them that a network needs. Compiled once for each instruction set.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX__)
#include <immintrin.h>
#endif

#ifndef TRANSIP_VECTOR_BYTES
#error "a file that includes this sets how long its vectors are"
#endif

namespace transip::native {
namespace {

template <typename Real> struct IntegerOf;
template <> struct IntegerOf<float> { using type = std::int32_t; };
template <> struct IntegerOf<double> { using type = std::int64_t; };

template <typename Real> struct Lanes {
  using Integer = typename IntegerOf<Real>::type;
  typedef Real V __attribute__((vector_size(TRANSIP_VECTOR_BYTES)));
  typedef Integer I __attribute__((vector_size(TRANSIP_VECTOR_BYTES)));
  typedef Real Four __attribute__((vector_size(4 * sizeof(Real))));
  static constexpr int size = TRANSIP_VECTOR_BYTES / static_cast<int>(sizeof(Real));

  static inline V load(const Real *from)
  {
    V value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  static inline void store(Real *to, V value) { std::memcpy(to, &value, sizeof value); }
  /// Store past the caches, to a place aligned to whole vectors, for what is read again only when much else has been. Others
  /// see it after `fence`.
  static inline void stream(Real *to, V value)
  {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i *>(to), reinterpret_cast<__m512i>(value));
#elif defined(__AVX__)
    _mm256_stream_si256(reinterpret_cast<__m256i *>(to), reinterpret_cast<__m256i>(value));
#else
    store(to, value);
#endif
  }
  static inline void fence()
  {
#if defined(__AVX__)
    _mm_sfence();
#endif
  }
  static inline V all(Real value) { return value - V{}; }

  /// Constant vector of the numbers that place(i) gives, for shuffles.
  template <typename Place> static inline I places(Place place)
  {
    return places(place, std::make_integer_sequence<Integer, size>{});
  }
  template <typename Place, Integer... i>
  static inline I places(Place place, std::integer_sequence<Integer, i...>)
  {
    return I{Integer(place(i))...};
  }

  /// operation(value, value with the lanes `distance` apart exchanged), for distance, twice it and so on below `end`.
  template <int distance, int end, typename Operation> static inline V fold(V value, Operation operation)
  {
    if constexpr (distance < end) {
      const V other = __builtin_shuffle(value, places([](Integer i) { return i ^ distance; }));
      return fold<2 * distance, end>(operation(value, other), operation);
    } else {
      return value;
    }
  }
  static inline Real sum(V value)
  {
    return fold<1, size>(value, [](V one, V other) { return one + other; })[0];
  }
  /// to [3] += the sums of three vectors; reads and writes a fourth number.
  static inline void add_sums(V x, V y, V z, Real *to)
  {
    if constexpr (size < 4) {
      to[0] += sum(x);
      to[1] += sum(y);
      to[2] += sum(z);
    } else {
      constexpr int quarter = size / 4;
      const V xy = halves<2 * quarter>(x, y), zz = halves<2 * quarter>(z, z);
      const V all = fold<1, quarter>(halves<quarter>(xy, zz), [](V one, V other) { return one + other; });
      // x, z, y and z again lie a quarter apart.
      const auto turn = [](int i) { return (i % 4 == 1 ? 2 : i % 4 == 2 ? 1 : i % 4) * quarter; };
      const V first = __builtin_shuffle(all, places(turn));
      Four there, here;
      std::memcpy(&there, to, sizeof there);
      std::memcpy(&here, &first, sizeof here);
      there += here;
      std::memcpy(to, &there, sizeof there);
    }
  }
  /// Sums of numbers `distance` apart, of one vector and of another in turn.
  template <int distance> static inline V halves(V one, V other)
  {
    const auto low = [](int i) { return i / distance % 2 ? size + i - distance : i; };
    return __builtin_shuffle(one, other, places(low)) +
        __builtin_shuffle(one, other, places([=](int i) { return low(i) + distance; }));
  }
};

inline double square_root(double x)
{
  return __builtin_sqrt(x);
}

inline Lanes<double>::V square_roots(Lanes<double>::V x)
{
  // Masked by ones: GCC 12 warns of the form without a mask.
#if defined(__AVX512F__)
  return reinterpret_cast<Lanes<double>::V>(_mm512_maskz_sqrt_pd(0xff, reinterpret_cast<__m512d>(x)));
#elif defined(__AVX__)
  return reinterpret_cast<Lanes<double>::V>(_mm256_sqrt_pd(reinterpret_cast<__m256d>(x)));
#else
  for (int i = 0; i < Lanes<double>::size; i++) x[i] = square_root(x[i]);
  return x;
#endif
}

/// Whole number next to x, |x| < 2^22 (float) or 2^51 (double).
template <typename Real> inline typename Lanes<Real>::V nearest(typename Lanes<Real>::V x)
{
  constexpr Real big = sizeof(Real) == 4 ? Real(12582912.0) : Real(6755399441055744.0);
  return (x + big) - big;
}

template <typename Real, int count>
inline typename Lanes<Real>::V polynomial(typename Lanes<Real>::V x, const double (&coefficients)[count])
{
  auto value = Lanes<Real>::all(Real(coefficients[count - 1]));
#pragma GCC unroll 16
  for (int i = count - 2; i >= 0; i--) value = value * x + Real(coefficients[i]);
  return value;
}

/// e^x to the last digit or two; smaller arguments than -87 (float) or -708 (double) are taken for these, larger ones
/// than 87 or 708 for those.
template <typename Real> inline typename Lanes<Real>::V exponential(typename Lanes<Real>::V x)
{
  using L = Lanes<Real>;
  using V = typename L::V;
  using I = typename L::I;
  constexpr bool single = sizeof(Real) == 4;
  const V most = L::all(single ? Real(87.0) : Real(708.0));
  x = x > most ? most : x;
  x = x < -most ? -most : x;
  const V n = nearest<Real>(x * Real(1.4426950408889634));
  // ln 2 in two parts, the first with zeros at its end, so that its product with n is exact.
  const V rest = single ? (x - n * Real(0.693359375)) + n * Real(2.12194440e-4)
                        : (x - n * Real(6.93147180369123816490e-01)) - n * Real(1.90821492927058770002e-10);
  V value;
  if constexpr (single) {
    value = polynomial<Real>(rest, {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040});
  } else {
    value = polynomial<Real>(
        rest, {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880,
               1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0});
  }
  constexpr int mantissa = single ? 23 : 52, bias = single ? 127 : 1023;
  const I bits = (__builtin_convertvector(n, I) + bias) << mantissa;
  V power;
  std::memcpy(&power, &bits, sizeof power);
  return value * power;
}

/// 1 / x to the last digit or two.
template <typename Real> inline typename Lanes<Real>::V reciprocal(typename Lanes<Real>::V x)
{
#if defined(__AVX512F__)
  if constexpr (sizeof(Real) == 4) {
    // A step of Newton's from 14 bits takes a third of the time of a division.
    const auto guess = reinterpret_cast<typename Lanes<Real>::V>(_mm512_maskz_rcp14_ps(0xffff, reinterpret_cast<__m512>(x)));
    return guess + guess * (Real(1) - x * guess);
  }
#endif
  return Real(1) / x;
}

template <typename Real> inline typename Lanes<Real>::V sigmoid(typename Lanes<Real>::V x)
{
  return reciprocal<Real>(Real(1) + exponential<Real>(-x));
}

/// Sine and cosine of angles up to 1e9 rad or so.
inline void sine_cosine(Lanes<double>::V angle, Lanes<double>::V &sine, Lanes<double>::V &cosine)
{
  using V = Lanes<double>::V;
  using I = Lanes<double>::I;
  const V n = nearest<double>(angle * 0.63661977236758134308);
  // pi / 2 in three parts (Cody and Waite): the first two have zeros at their end.
  V rest = angle - n * 1.57079632673412561417e+00;
  rest = rest - n * 6.07710050630396597660e-11;
  rest = rest - n * 2.02226624879595063154e-21;
  const V square = rest * rest;
  const V odd = rest + rest * square * polynomial<double>(square, {-1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880,
                                                                  -1.0 / 39916800, 1.0 / 6227020800.0,
                                                                  -1.0 / 1307674368000.0});
  const V even = 1.0 + square * polynomial<double>(square, {-1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320,
                                                            -1.0 / 3628800, 1.0 / 479001600,
                                                            -1.0 / 87178291200.0, 1.0 / 20922789888000.0});
  const I quarter = __builtin_convertvector(n, I);
  const auto swapped = (quarter & 1) != 0;
  const V s = swapped ? even : odd, c = swapped ? odd : even;
  sine = (quarter & 2) != 0 ? -s : s;
  cosine = ((quarter + 1) & 2) != 0 ? -c : c;
}

/// Cosines and sines of `count` angles, a whole number of vectors; angle(i) gives a vector of them in float64.
///
/// Angles are formed and reduced in float64 whatever Real is, so that float32 loses no digits far from the origin.
template <typename Real, typename Angle> inline void cosines_and_sines(int count, Angle angle, Real *cosine, Real *sine)
{
  using L = Lanes<Real>;
  using D = Lanes<double>;
  if constexpr (sizeof(Real) == sizeof(double)) {
    for (int i = 0; i < count; i += D::size) {
      typename D::V s, c;
      sine_cosine(angle(i), s, c);
      D::store(sine + i, s);
      D::store(cosine + i, c);
    }
  } else {
    typedef float HalfV __attribute__((vector_size(TRANSIP_VECTOR_BYTES / 2)));
    typedef std::int32_t HalfI __attribute__((vector_size(TRANSIP_VECTOR_BYTES / 2)));
    for (int i = 0; i < count; i += L::size) {
      typename L::V rest;
      typename L::I quarter;
      for (int half = 0; half < 2; half++) {
        const D::V whole = angle(i + half * D::size);
        // The number of quarter turns stands in the last bits of the shifted product.
        const D::V shifted = whole * 0.63661977236758134308 + 6755399441055744.0;
        const D::V left = whole - (shifted - 6755399441055744.0) * 1.57079632679489661923;
        D::I bits;
        std::memcpy(&bits, &shifted, sizeof bits);
        const HalfV narrow = __builtin_convertvector(left, HalfV);
        const HalfI turns = __builtin_convertvector(bits, HalfI);
        std::memcpy(reinterpret_cast<char *>(&rest) + half * sizeof narrow, &narrow, sizeof narrow);
        std::memcpy(reinterpret_cast<char *>(&quarter) + half * sizeof turns, &turns, sizeof turns);
      }
      const auto square = rest * rest;
      const auto odd = rest + rest * square * polynomial<Real>(square, {-1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880});
      const auto even =
          Real(1) + square * polynomial<Real>(square, {-1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800});
      const auto swapped = (quarter & 1) != 0;
      const auto s = swapped ? even : odd, c = swapped ? odd : even;
      L::store(sine + i, (quarter & 2) != 0 ? -s : s);
      L::store(cosine + i, ((quarter + 1) & 2) != 0 ? -c : c);
    }
  }
}

}  // namespace
}  // namespace transip::native
