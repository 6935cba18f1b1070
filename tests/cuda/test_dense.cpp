// The linear layers' products under the emulator against plain ones, what tensor cores do against PTX's documentation, and
// bank conflicts of shared memory, counted.

#include "checks.h"
#include "cuda_on_cpu.h"

#include "cuda/kernels/dense.cuh"

#include <algorithm>
#include <array>
#include <cmath>
#include <iostream>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace {

using checks::check;
using namespace transip::cuda;

// ---- tensor cores --------------------------------------------------------------------------------------------------

void test_rounding()
{
  const auto rounded = [](float x) { return std::bit_cast<float>(emulator::round_to_tf32(x)); };
  const float step = 1.0f / 1024.0f;
  check(rounded(1.0f + 0.49f * step) == 1.0f && rounded(1.0f + 0.51f * step) == 1.0f + step, "to the nearest");
  check(rounded(1.0f + 0.5f * step) == 1.0f + step && rounded(-1.0f - 0.5f * step) == -1.0f - step,
        "a tie goes away from zero");
  check(rounded(1.0f + 1.5f * step) == 1.0f + 2.0f * step, "a tie goes away from zero, not to even");
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 1000; i++) {
    const float x = normal(random);
    const TwoParts parts = split(x);
    const double both = double(std::bit_cast<float>(parts.high)) + double(std::bit_cast<float>(parts.low));
    check(std::abs(both - x) <= std::ldexp(std::abs(x), -22), "two numbers of TF32 hold 22 bits");
  }
}

/// What PTX says of mma.m16n8k8 with .tf32: places of registers a0 to a3, b0 and b1, c0 to c3, as (row, column).
using Place = std::array<int, 2>;
Place left_place(int lane, int i)
{
  return {lane / 4 + (i == 1 || i == 3 ? 8 : 0), lane % 4 + (i >= 2 ? 4 : 0)};
}
Place right_place(int lane, int i)
{
  return {lane % 4 + (i == 1 ? 4 : 0), lane / 4};
}
Place sum_place(int lane, int i)
{
  return {lane / 4 + (i >= 2 ? 8 : 0), lane % 4 * 2 + i % 2};
}

/// Small integers, of which products and sums are exact.
std::vector<double> integers(std::size_t count, unsigned seed)
{
  std::mt19937 random(seed);
  std::vector<double> values(count);
  for (double &value : values) value = static_cast<int>(random() % 17) - 8;
  return values;
}

/// [rows, inner] x [inner, columns]
std::vector<double> plain_product(const std::vector<double> &a, const std::vector<double> &b, std::size_t inner,
                                  std::size_t columns)
{
  std::vector<double> sums(a.size() / inner * columns);
  for (std::size_t row = 0; row < a.size() / inner; row++)
    for (std::size_t column = 0; column < columns; column++)
      for (std::size_t k = 0; k < inner; k++)
        sums[row * columns + column] += a[row * inner + k] * b[k * columns + column];
  return sums;
}

void test_fragments()
{
  check(left_place(5, 1) == Place{9, 1} && left_place(6, 2) == Place{1, 6} && right_place(6, 1) == Place{6, 1} &&
            sum_place(7, 3) == Place{9, 7},
        "examples of PTX's figures");
  const std::vector<double> a = integers(16 * 8, 1), b = integers(8 * 8, 2), wanted = plain_product(a, b, 8, 8);
  const auto at = [](const std::vector<double> &m, Place place) {
    return std::bit_cast<unsigned>(static_cast<float>(m[static_cast<std::size_t>(place[0] * 8 + place[1])]));
  };
  std::vector<double> got(16 * 8);
  emulator::run({1, 1, 1}, 32, 1, [&] {
    const int lane = emulator::lane();
    unsigned left[4], right[2];
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int i = 0; i < 4; i++) left[i] = at(a, left_place(lane, i));
    for (int i = 0; i < 2; i++) right[i] = at(b, right_place(lane, i));
    emulator::multiply_tf32(sum, left, right);
    for (int i = 0; i < 4; i++) {
      const Place place = sum_place(lane, i);
      got[static_cast<std::size_t>(place[0] * 8 + place[1])] = sum[i];
    }
  });
  check(got == wanted, "m16n8k8 of TF32 against a plain product");

  // m8n8k4: a is (lane / 4, lane % 4), b is (lane % 4, lane / 4), c0 and c1 are (lane / 4, 2 (lane % 4) and one more).
  const std::vector<double> c = integers(8 * 4, 3), d = integers(4 * 8, 4), sums = plain_product(c, d, 4, 8);
  std::vector<double> found(8 * 8);
  emulator::run({1, 1, 1}, 32, 1, [&] {
    const int lane = emulator::lane();
    double sum[2] = {0.0, 0.0};
    emulator::multiply_double(sum, c[static_cast<std::size_t>(lane)], d[static_cast<std::size_t>(lane % 4 * 8 + lane / 4)]);
    for (int i = 0; i < 2; i++) found[static_cast<std::size_t>(lane / 4 * 8 + lane % 4 * 2 + i)] = sum[i];
  });
  check(found == sums, "m8n8k4 of float64 against a plain product");
}

void test_sums()
{
  // What lies below the last bit of the largest term is cut off, not rounded; more bits than TF32 has are refused.
  const auto sum_with = [](float start, float left, float right) {
    float result = 0.0f;
    emulator::run({1, 1, 1}, 32, 1, [&] {
      const unsigned one = std::bit_cast<unsigned>(left), two = std::bit_cast<unsigned>(right);
      float sum[4] = {start, 0.0f, 0.0f, 0.0f};
      emulator::multiply_tf32(sum, {one, 0, 0, 0}, {emulator::lane() % 4 == 0 ? two : 0, 0});
      if (emulator::lane() == 0) result = sum[0];
    });
    return result;
  };
  check(sum_with(1.0f, std::ldexp(1.75f, -24), 1.0f) == 1.0f, "what does not fit is cut off");
  check(sum_with(-1.0f, std::ldexp(1.75f, -23), 1.0f) == -1.0f + std::ldexp(1.0f, -23), "a bit that fits is not");
  bool refused = false;
  try {
    sum_with(0.0f, 1.0f + std::ldexp(1.0f, -23), 1.0f);
  } catch (const emulator::BadKernel &problem) {
    refused = std::string(problem.what()).find("more bits than TF32") != std::string::npos;
  }
  check(refused, "an operand that was not rounded");
}

// ---- products ------------------------------------------------------------------------------------------------------

/// A product of random numbers with a random matrix.
template <typename Real, int inner, int outer> struct RandomProduct {
  int tokens;
  std::vector<Real> from, to, weight, bias;

  explicit RandomProduct(int count)
      : tokens(count), from(static_cast<std::size_t>(count * inner)), to(static_cast<std::size_t>(count * outer)),
        weight(matrix_size(inner, outer)), bias(round_up(outer, warp_tile))
  {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (Real &value : from) value = normal(random);
    for (int o = 0; o < outer; o++) bias[static_cast<std::size_t>(o)] = normal(random);
    for (int i = 0; i < inner; i++)
      for (int o = 0; o < outer; o++) weight[static_cast<std::size_t>(place_in_matrix(inner, i, o))] = normal(random);
  }

  /// Fill `to` by a grid of blocks of so many threads; each deals by what `make_deal` gives it.
  template <class MakeDeal> void run(emulator::Index grid, unsigned threads, const MakeDeal &make_deal)
  {
    std::fill(to.begin(), to.end(), Real(NAN));
    emulator::run(grid, threads, 1, [&] {
      TRANSIP_SHARED(Real, room, room_for(inner, sizeof(Real)));
      const auto sink = [&](int t, int column, const Real(&four)[4]) {
        store<4>(&to[static_cast<std::size_t>(t * outer + column)], four);
      };
      product<inner, outer>(make_deal(), room, tokens, Plain<Real>{from.data(), inner},
                            Dense<Real>{weight.data(), bias.data()}, sink);
    });
  }
};

/// Largest difference from a plain product over the largest sum of the products' sizes.
template <typename Real, int inner, int outer> double worst_of(int tokens, unsigned blocks_abreast)
{
  RandomProduct<Real, inner, outer> made(tokens);
  const unsigned blocks = static_cast<unsigned>((tokens + tile_tokens - 1) / tile_tokens);
  made.run({blocks, blocks_abreast, 1}, dense_threads, [] { return GridDeal{}; });
  const auto &[count, from, to, weight, bias] = made;
  double worst = 0.0, largest = 0.0;
  for (int t = 0; t < tokens; t++)
    for (int o = 0; o < outer; o++) {
      double sum = bias[static_cast<std::size_t>(o)], size = std::abs(sum);
      for (int i = 0; i < inner; i++) {
        const double term = double(from[static_cast<std::size_t>(t * inner + i)]) *
            double(weight[static_cast<std::size_t>(place_in_matrix(inner, i, o))]);
        sum += term;
        size += std::abs(term);
      }
      worst = std::max(worst, std::abs(double(to[static_cast<std::size_t>(t * outer + o)]) - sum));
      largest = std::max(largest, size);
    }
  return worst / largest;
}

template <int inner, int outer> void test_product(int tokens, unsigned blocks_abreast)
{
  const double single = worst_of<float, inner, outer>(tokens, blocks_abreast);
  const double both = worst_of<double, inner, outer>(tokens, blocks_abreast);
  const std::string name = std::to_string(tokens) + " x " + std::to_string(inner) + " x " + std::to_string(outer);
  std::cout << "  " << name << ": " << single << " in float32, " << both << " in float64\n";
  // Nothing but rounding: 22 bits of a factor, 24 of a sum.
  check(single <= std::ldexp(1.0, -22), name + " in float32");
  check(both <= std::ldexp(1.0, -50), name + " in float64");
}

template <int inner, int outer> void test_places()
{
  std::set<int> places;
  for (int i = 0; i < inner; i++)
    for (int o = 0; o < outer; o++) places.insert(place_in_matrix(inner, i, o));
  check(places.size() == inner * outer && *places.rbegin() < matrix_size(inner, outer), "a place for each element");
}

// ---- shared memory -------------------------------------------------------------------------------------------------

/// By how many cycles a warp's access to packs of 16 bytes is longer than the shortest: eight lanes have their turn at a
/// time, and of each of the 32 banks, four bytes wide, they get one row.
int conflicts(const std::vector<int> &bytes)
{
  int more = 0;
  for (std::size_t turn = 0; turn < bytes.size(); turn += 8) {
    std::array<std::set<int>, 32> rows;
    for (std::size_t lane = turn; lane < std::min(turn + 8, bytes.size()); lane++)
      for (int word = 0; word < 4; word++) {
        const int place = bytes[lane] / 4 + word;
        rows[static_cast<std::size_t>(place % 32)].insert(place / 32);
      }
    std::size_t most = 1;
    for (const auto &bank : rows) most = std::max(most, bank.size());
    more += static_cast<int>(most) - 1;
  }
  return more;
}

void test_conflicts()
{
  std::vector<int> same_bank, neighbours;
  for (int lane = 0; lane < 32; lane++) {
    same_bank.push_back(128 * lane);
    neighbours.push_back(16 * lane);
  }
  check(conflicts(same_bank) == 28 && conflicts(neighbours) == 0, "conflicts are counted");
  for (const int size : {4, 8})
    for (int inner = 4; inner <= 3072; inner += 4) {
      const Staging shape = staging(inner, size);
      for (int pack = 0; pack < 4 * size / 16; pack++) {
        std::vector<int> read, written;
        for (int lane = 0; lane < 32; lane++) {
          read.push_back(size * shape.place(lane) + 16 * pack);
          if (4 * lane < shape.inner) written.push_back(size * 4 * lane + 16 * pack);
        }
        const std::string what = std::to_string(inner) + " numbers of " + std::to_string(size) + " bytes";
        check(conflicts(read) == 0, "rows of " + what + " are read without conflicts");
        // Eight lanes write float64 to every other pack.
        const int allowed = size == 4 ? 0 : static_cast<int>((written.size() + 7) / 8);
        check(conflicts(written) <= allowed, "rows of " + what + " are written without conflicts");
      }
      check(room_for(inner, size) * size <= 48 * 1024, "rows fit into shared memory");
    }
}

/// The same bits whether a grid makes a product or one block of so many threads.
template <typename Real, int inner, int outer, int threads> void test_one_block(int tokens)
{
  RandomProduct<Real, inner, outer> by_grid(tokens), by_block(tokens);
  by_grid.run({1, 1, 1}, dense_threads, [] { return GridDeal{}; });
  by_block.run({1, 1, 1}, threads, [tokens] { return BlockDeal<threads>(0, tokens); });
  check(by_grid.to == by_block.to, "one block of " + std::to_string(threads) + " threads, " + std::to_string(tokens) +
                                       " tokens: the same bits as a grid");
}

}  // namespace

int main()
{
  return checks::run([&] {
    test_rounding();
    test_fragments();
    test_sums();
    test_places<40, 120>();
    test_places<64, 192>();
    test_product<64, 192>(9, 1);
    test_product<64, 192>(33, 3);
    test_product<40, 120>(40, 2);
    test_product<4, 4>(1, 1);
    test_product<320, 96>(17, 1);  // in parts, by one block
    test_product<1056, 36>(20, 1);
    for (const int tokens : {1, 9, 16, 17, 32}) {
      test_one_block<float, 64, 320, molecule_threads(4)>(tokens);
      test_one_block<float, 320, 64, molecule_threads(4)>(tokens);
      test_one_block<double, 64, 320, molecule_threads(8)>(tokens);
      test_one_block<double, 320, 64, molecule_threads(8)>(tokens);
    }
    test_conflicts();
  });
}
