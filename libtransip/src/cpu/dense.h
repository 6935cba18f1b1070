// Products of a few rows with a matrix that stays: what linear layers are made of.
#pragma once

#include "lanes.h"
#include "panels.h"

namespace transip::native {
namespace {

/// Products of rows with a matrix [inner, outer].
template <typename Real> class Product {
  using L = Lanes<Real>;
  using V = typename L::V;
  static constexpr int size = L::size;
  // As many rows at a time as there are registers for their sums.
  static constexpr int most = TRANSIP_VECTOR_BYTES == 64 ? 12 : 6;
  // Inputs at a time: a panel's part for them, some 64 kB, serves all rows before the next.
  static constexpr int depth = 65536 / (2 * TRANSIP_VECTOR_BYTES);

 public:
  /// to [rows, outer] = from [rows, inner] M + bias, or with `add` to += that.
  static void run(const Panels<Real> &matrix, std::int64_t rows, const Real *from, int from_stride, Real *to,
                  int to_stride, bool add);

 private:
  /// Inputs of a block and where it goes. Sums begin with the bias, with what is there, or with both; one is not null.
  struct Block {
    int inner;
    const Real *from;
    int from_stride;
    const Real *panel, *bias, *there;
    Real *to;
    int to_stride;
  };

  /// Sums of `rows` rows over some of the inputs.
  template <int rows, int columns> static void block(const Block &of)
  {
    V sums[rows][columns];
    if (of.bias) {
#pragma GCC unroll 16
      for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int c = 0; c < columns; c++) sums[r][c] = L::load(of.bias + c * size);
      if (of.there) {
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
          for (int c = 0; c < columns; c++) sums[r][c] += L::load(of.there + std::int64_t(r) * of.to_stride + c * size);
      }
    } else {
#pragma GCC unroll 16
      for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int c = 0; c < columns; c++) sums[r][c] = L::load(of.there + std::int64_t(r) * of.to_stride + c * size);
    }
    const Real *from = of.from, *panel = of.panel;
    const std::int64_t from_stride = of.from_stride;
    for (int i = 0; i < of.inner; i++) {
      V weights[columns];
#pragma GCC unroll 2
      for (int c = 0; c < columns; c++) weights[c] = L::load(panel + (std::int64_t(i) * columns + c) * size);
#pragma GCC unroll 16
      for (int r = 0; r < rows; r++) {
        const V value = L::all(from[r * from_stride + i]);
#pragma GCC unroll 2
        for (int c = 0; c < columns; c++) sums[r][c] += value * weights[c];
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
      for (int c = 0; c < columns; c++) L::store(of.to + std::int64_t(r) * of.to_stride + c * size, sums[r][c]);
  }

  template <int columns> static void some_rows(int rows, const Block &of)
  {
    switch (rows) {
#define TRANSIP_ROWS(n) \
  case n: return block<(n <= most ? n : 1), columns>(of)
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

  template <int columns> static void all_rows(const Split &split, Block of)
  {
    for (int part = 0; part < split.parts; part++) {
      const int now = split.least + (part >= split.parts - split.longer ? 1 : 0);
      some_rows<columns>(now, of);
      of.from += std::int64_t(now) * of.from_stride;
      of.to += std::int64_t(now) * of.to_stride;
      if (of.there) of.there = of.to;
    }
  }
};

template <typename Real>
void Product<Real>::run(const Panels<Real> &matrix, std::int64_t rows, const Real *from, int from_stride, Real *to,
                        int to_stride, bool add)
{
  const int parts = (static_cast<int>(rows) + most - 1) / most;
  if (parts == 0) return;
  const Split split{parts, static_cast<int>(rows) / parts, static_cast<int>(rows) % parts};
  for (int vector = 0; vector < matrix.vectors; vector += 2) {
    const int columns = matrix.vectors - vector > 1 ? 2 : 1;
    for (int first = 0; first < matrix.inner; first += depth) {
      const Real *panel = matrix.panels + (std::int64_t(vector) * matrix.inner + std::int64_t(first) * columns) * size;
      Real *place = to + vector * size;
      const Block of{matrix.inner - first < depth ? matrix.inner - first : depth, from + first, from_stride, panel,
                     first == 0 ? matrix.bias + vector * size : nullptr, add || first > 0 ? place : nullptr, place,
                     to_stride};
      if (columns == 2)
        all_rows<2>(split, of);
      else
        all_rows<1>(split, of);
    }
  }
}

/// to [rows, outer] = from [rows, inner] M + bias
template <typename Real>
inline void apply(const Panels<Real> &matrix, std::int64_t rows, const Real *from, int from_stride, Real *to,
                  int to_stride)
{
  Product<Real>::run(matrix, rows, from, from_stride, to, to_stride, false);
}

/// to += from M + bias
template <typename Real>
inline void add(const Panels<Real> &matrix, std::int64_t rows, const Real *from, int from_stride, Real *to,
                int to_stride)
{
  Product<Real>::run(matrix, rows, from, from_stride, to, to_stride, true);
}

}  // namespace
}  // namespace transip::native
