// Products of a few rows with a matrix that stays: what linear layers are made of.
#pragma once

#include "lanes.h"
#include "store.h"

namespace transip::native {
namespace {

constexpr int round_up(int count, int to)
{
  return (count + to - 1) / to * to;
}

/// A matrix [inner, outer], laid out in panels two vectors wide, and a bias [outer]; outer is padded to whole vectors.
template <typename Real> class Matrix {
  using L = Lanes<Real>;
  using V = typename L::V;
  static constexpr int size = L::size;
  // As many rows at a time as there are registers for their sums.
  static constexpr int most = TRANSIP_VECTOR_BYTES == 64 ? 12 : 6;
  // Inputs at a time: a panel's part for them, some 64 kB, serves all rows before the next.
  static constexpr int depth = 65536 / (2 * TRANSIP_VECTOR_BYTES);

 public:
  /// element(i, o) gives the weights, bias(o) the bias.
  template <typename Element, typename Bias> void fill(int inner, int outer, Element element, Bias bias)
  {
    inner_ = inner;
    vectors_ = round_up(outer, size) / size;
    const int wide = vectors_ * size;
    panels_ = static_cast<Real *>(store_.reserve(std::int64_t(sizeof(Real)) * wide * (inner + 1)));
    bias_ = panels_ + std::int64_t(inner) * wide;
    for (int o = 0; o < wide; o++) {
      bias_[o] = o < outer ? Real(bias(o)) : Real(0);
      const int panel = o / (2 * size), start = panel * 2 * size;
      const int width = wide - start < 2 * size ? size : 2 * size;
      for (int i = 0; i < inner; i++)
        panels_[std::int64_t(start) * inner + std::int64_t(i) * width + (o - start)] =
            o < outer ? Real(element(i, o)) : Real(0);
    }
  }

  /// to [rows, outer] = from [rows, inner] M + bias
  void apply(std::int64_t rows, const Real *from, int from_stride, Real *to, int to_stride) const
  {
    product<Start::bias>(rows, from, from_stride, to, to_stride);
  }
  /// to += from M + bias
  void add(std::int64_t rows, const Real *from, int from_stride, Real *to, int to_stride) const
  {
    product<Start::both>(rows, from, from_stride, to, to_stride);
  }

 private:
  enum class Start { bias, both, sum };

  /// Sums of `rows` rows over `inner` of the inputs, beginning with the bias, with it and what is there, or with that.
  template <Start start, int rows, int columns>
  static void block(int inner, const Real *from, int from_stride, const Real *panel, const Real *bias, Real *to,
                    int to_stride)
  {
    V sums[rows][columns];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
      for (int c = 0; c < columns; c++) {
        if (start == Start::bias) sums[r][c] = L::load(bias + c * size);
        if (start == Start::both)
          sums[r][c] = L::load(bias + c * size) + L::load(to + std::int64_t(r) * to_stride + c * size);
        if (start == Start::sum) sums[r][c] = L::load(to + std::int64_t(r) * to_stride + c * size);
      }
    for (int i = 0; i < inner; i++) {
      V weights[columns];
#pragma GCC unroll 2
      for (int c = 0; c < columns; c++) weights[c] = L::load(panel + (std::int64_t(i) * columns + c) * size);
#pragma GCC unroll 16
      for (int r = 0; r < rows; r++) {
        const V value = L::all(from[std::int64_t(r) * from_stride + i]);
#pragma GCC unroll 2
        for (int c = 0; c < columns; c++) sums[r][c] += value * weights[c];
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
      for (int c = 0; c < columns; c++) L::store(to + std::int64_t(r) * to_stride + c * size, sums[r][c]);
  }

  template <Start start, int columns>
  static void some_rows(int rows, int inner, const Real *from, int from_stride, const Real *panel, const Real *bias,
                        Real *to, int to_stride)
  {
    switch (rows) {
#define TRANSIP_ROWS(n) \
  case n: return block<start, (n <= most ? n : 1), columns>(inner, from, from_stride, panel, bias, to, to_stride)
      TRANSIP_ROWS(1);
      TRANSIP_ROWS(2);
      TRANSIP_ROWS(3);
      TRANSIP_ROWS(4);
      TRANSIP_ROWS(5);
      TRANSIP_ROWS(6);
      TRANSIP_ROWS(7);
      TRANSIP_ROWS(8);
      TRANSIP_ROWS(9);
      TRANSIP_ROWS(10);
      TRANSIP_ROWS(11);
      TRANSIP_ROWS(12);
#undef TRANSIP_ROWS
    }
  }

  /// Rows in nearly equal parts: 13 are better done as 6 and 7 than as 12 and 1.
  struct Split {
    int parts, least, longer;  // the last `longer` parts have one row more than `least`
  };

  template <Start start, int columns>
  static void all_rows(const Split &split, int inner, const Real *from, int from_stride, const Real *panel,
                       const Real *bias, Real *to, int to_stride)
  {
    for (int part = 0; part < split.parts; part++) {
      const int now = split.least + (part >= split.parts - split.longer ? 1 : 0);
      some_rows<start, columns>(now, inner, from, from_stride, panel, bias, to, to_stride);
      from += std::int64_t(now) * from_stride;
      to += std::int64_t(now) * to_stride;
    }
  }

  template <Start start>
  void product(std::int64_t rows, const Real *from, int from_stride, Real *to, int to_stride) const
  {
    const int parts = (static_cast<int>(rows) + most - 1) / most;
    if (parts == 0) return;
    const Split split{parts, static_cast<int>(rows) / parts, static_cast<int>(rows) % parts};
    for (int vector = 0; vector < vectors_; vector += 2) {
      const int columns = vectors_ - vector > 1 ? 2 : 1;
      for (int first = 0; first < inner_; first += depth) {
        const int inner = inner_ - first < depth ? inner_ - first : depth;
        const Real *panel = panels_ + (std::int64_t(vector) * inner_ + std::int64_t(first) * columns) * size;
        const Real *bias = bias_ + vector * size;
        Real *place = to + vector * size;
        if (columns == 2 && first == 0)
          all_rows<start, 2>(split, inner, from, from_stride, panel, bias, place, to_stride);
        else if (columns == 2)
          all_rows<Start::sum, 2>(split, inner, from + first, from_stride, panel, bias, place, to_stride);
        else if (first == 0)
          all_rows<start, 1>(split, inner, from, from_stride, panel, bias, place, to_stride);
        else
          all_rows<Start::sum, 1>(split, inner, from + first, from_stride, panel, bias, place, to_stride);
      }
    }
  }

  Store store_;
  Real *panels_ = nullptr, *bias_ = nullptr;
  int inner_ = 0, vectors_ = 0;
};

}  // namespace
}  // namespace transip::native
