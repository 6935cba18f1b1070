#include "tensor_core.h"

#include "emulator.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace emulator {

namespace {

constexpr unsigned bits_below_tf32 = 13, float_bits = 24;

int exponent(double x)
{
  return static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 52 & 0x7ff);
}

double power_of_two(int biased)
{
  return std::bit_cast<double>(static_cast<std::uint64_t>(biased) << 52);
}

/// Sum of terms, each cut off below the last of 24 bits of the largest of them, and cut off to float32.
template <int count> float sum_of(const double (&terms)[count])
{
  int largest = 0;
  for (const double term : terms) largest = std::max(largest, exponent(term));
  constexpr int bias = 1023, infinite = 2047, least = 200;  // far below the least float32
  double sum = 0.0;
  if (largest == infinite) {
    for (const double term : terms) sum += term;
    return static_cast<float>(sum);
  }
  if (largest < least) return 0.0f;
  const int last = largest - static_cast<int>(float_bits) + 1;
  const double scale = power_of_two(2 * bias - last), unit = power_of_two(last);
  for (const double term : terms) sum += static_cast<double>(static_cast<std::int64_t>(term * scale));
  // A carry may have made the sum a few bits longer than a float32.
  const auto cut = static_cast<std::uint64_t>(-1) << (53 - float_bits);
  return static_cast<float>(std::bit_cast<double>(std::bit_cast<std::uint64_t>(sum) & cut) * unit);
}

struct Operands {
  unsigned left[4], right[2];
};

struct DoubleOperands {
  double left, right;
};

void require_tf32(unsigned bits)
{
  if (bits & ((1u << bits_below_tf32) - 1)) fail("An operand of a product of TF32 has more bits than TF32.");
}

}  // namespace

unsigned round_to_tf32(float x)
{
  const unsigned bits = std::bit_cast<unsigned>(x), below = (1u << bits_below_tf32) - 1;
  if (!std::isfinite(x)) return bits & ~below;
  return (bits + (1u << (bits_below_tf32 - 1))) & ~below;
}

void multiply_tf32(float (&sum)[4], const unsigned (&left)[4], const unsigned (&right)[2])
{
  Operands mine;
  for (int i = 0; i < 4; i++) require_tf32(mine.left[i] = left[i]);
  for (int i = 0; i < 2; i++) require_tf32(mine.right[i] = right[i]);
  const auto *all = reinterpret_cast<const Operands *>(gather(&mine, sizeof mine));
  const int group = lane() / 4, within = lane() % 4;
  for (int i = 0; i < 4; i++) {
    const int row = group + i / 2 * 8, column = 2 * within + i % 2;
    double terms[9];
    for (int k = 0; k < 8; k++) {
      const unsigned a = all[row % 8 * 4 + k % 4].left[row / 8 + k / 4 * 2], b = all[column * 4 + k % 4].right[k / 4];
      terms[k] = static_cast<double>(std::bit_cast<float>(a)) * static_cast<double>(std::bit_cast<float>(b));
    }
    terms[8] = static_cast<double>(sum[i]);
    sum[i] = sum_of(terms);
  }
}

void multiply_double(double (&sum)[2], double left, double right)
{
  const DoubleOperands mine{left, right};
  const auto *all = reinterpret_cast<const DoubleOperands *>(gather(&mine, sizeof mine));
  const int row = lane() / 4;
  for (int i = 0; i < 2; i++) {
    const int column = lane() % 4 * 2 + i;
    for (int k = 0; k < 4; k++) sum[i] = std::fma(all[row * 4 + k].left, all[column * 4 + k].right, sum[i]);
  }
}

}  // namespace emulator
