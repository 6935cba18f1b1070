// The search for neighbours without a model. Usage: test_neighbours

#include "checks.h"
#include "cpu/threads.h"
#include "transip/error.h"
#include "transip/neighbours.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

using checks::check, checks::check_error;
using transip::Neighbours;
using Reach = Neighbours::Reach;
using transip::native::Threads;

std::mt19937_64 random_bits(5);

double number(double low, double high)
{
  return std::uniform_real_distribution<double>(low, high)(random_bits);
}

struct Structure {
  std::vector<double> positions;
  std::array<double, 9> box;
  std::array<bool, 3> periodic;
};

/// Smallest distance between opposite faces.
double thickness(const std::array<double, 9> &box)
{
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t a = 0; a < 3; a++) {
    const double *b = &box[3 * ((a + 1) % 3)], *c = &box[3 * ((a + 2) % 3)], *h = &box[3 * a];
    const double normal[3] = {b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]};
    double volume = 0.0, area = 0.0;
    for (int x = 0; x < 3; x++) {
      volume += h[x] * normal[x];
      area += normal[x] * normal[x];
    }
    least = std::min(least, std::abs(volume) / std::sqrt(area));
  }
  return least;
}

/// Atoms in and around a box of any shape that is some Angstrom thick, periodic along any of its vectors.
Structure random_structure(std::size_t atoms, double size, double spread)
{
  Structure made;
  do
    for (std::size_t i = 0; i < 9; i++) made.box[i] = size * ((i % 4 == 0 ? 1.0 : 0.0) + number(-0.7, 0.7));
  while (thickness(made.box) < 0.4 * size);
  for (bool &along : made.periodic) along = number(0.0, 1.0) < 0.7;
  for (std::size_t i = 0; i < 3 * atoms; i++) made.positions.push_back(number(-spread, spread));
  return made;
}

/// An atom's neighbours: atom, then the vector to it.
using Vectors = std::vector<std::array<double, 4>>;

Vectors by_brute_force(const Structure &of, std::size_t i, double cutoff, int most)
{
  Vectors found;
  const std::array<int, 3> away = {of.periodic[0] ? most : 0, of.periodic[1] ? most : 0, of.periodic[2] ? most : 0};
  for (std::size_t j = 0; j < of.positions.size() / 3; j++)
    for (int a = -away[0]; a <= away[0]; a++)
      for (int b = -away[1]; b <= away[1]; b++)
        for (int c = -away[2]; c <= away[2]; c++) {
          if (i == j && a == 0 && b == 0 && c == 0) continue;
          std::array<double, 4> one{static_cast<double>(j), 0.0, 0.0, 0.0};
          double squared = 0.0;
          for (std::size_t x = 0; x < 3; x++) {
            one[x + 1] = of.positions[3 * j + x] - of.positions[3 * i + x] + a * of.box[x] + b * of.box[3 + x] + c * of.box[6 + x];
            squared += one[x + 1] * one[x + 1];
          }
          if (squared < cutoff * cutoff) found.push_back(one);
        }
  return found;
}

Vectors by_search(const Neighbours &of, std::size_t i)
{
  Vectors found;
  for (std::int64_t edge = of.first[i]; edge < of.first[i + 1]; edge++) {
    const auto row = static_cast<std::size_t>(of.neighbours[static_cast<std::size_t>(edge)]);
    std::array<double, 4> one{static_cast<double>(of.owner[row]), 0.0, 0.0, 0.0};
    for (std::size_t x = 0; x < 3; x++) one[x + 1] = of.positions[3 * row + x] - of.positions[3 * i + x];
    found.push_back(one);
  }
  return found;
}

bool agree(const Vectors &one, const Vectors &other)
{
  const auto near = [](const std::array<double, 4> &a, const std::array<double, 4> &b) {
    for (std::size_t x = 0; x < 4; x++)
      if (std::abs(a[x] - b[x]) > 1e-9) return false;
    return true;
  };
  return std::equal(one.begin(), one.end(), other.begin(), other.end(), near);
}

bool same(const Neighbours &one, const Neighbours &other)
{
  return one.owner == other.owner && one.positions == other.positions && one.first == other.first &&
         one.neighbours == other.neighbours;
}

/// Against all atoms in all boxes around, in the order of atoms and shifts.
void test_all_are_found()
{
  for (int trial = 0; trial < 200; trial++) {
    const double cutoff = number(1.0, 5.0), size = number(1.5, 9.0), spread = number(1.0, 15.0);
    const Structure structure = random_structure(1 + static_cast<std::size_t>(trial) % 9, size, spread);
    Neighbours found(cutoff, 0.0);
    found.find(structure.positions, structure.box, structure.periodic);
    // Two atoms are 2 spread apart along each axis at most.
    const int most = static_cast<int>((cutoff + 2.0 * std::sqrt(3.0) * spread) / thickness(structure.box)) + 1;
    for (std::size_t i = 0; i < structure.positions.size() / 3; i++)
      check(agree(by_search(found, i), by_brute_force(structure, i, cutoff, most)),
            "neighbours of atom " + std::to_string(i) + " in trial " + std::to_string(trial));
  }
}

void test_threads_do_not_matter()
{
  for (const double size : {4.0, 9.0, 20.0}) {
    const Structure structure = random_structure(400, size, 12.0);
    Neighbours alone(4.0, 1.0, Reach::skin);
    alone.find(structure.positions, structure.box, structure.periodic);
    check(alone.first.back() > 400, "there are neighbours");
    for (const int threads : {1, 2, 3, 5}) {
      Threads pool(threads);
      Neighbours shared(4.0, 1.0, Reach::skin);
      shared.find(structure.positions, structure.box, structure.periodic, &pool);
      check(same(shared, alone), "lists by " + std::to_string(threads) + " threads");
    }
  }
}

void test_time_of_the_search_does_not_matter()
{
  Structure structure = random_structure(60, 7.0, 8.0);
  Neighbours kept(4.0, 1.0);
  kept.find(structure.positions, structure.box, structure.periodic);
  for (int step = 0; step < 12; step++) {
    for (double &place : structure.positions) place += number(-0.1, 0.1);
    kept.find(structure.positions, structure.box, structure.periodic);
    Neighbours anew(4.0, 1.0);
    anew.find(structure.positions, structure.box, structure.periodic);
    check(same(kept, anew), "lists in step " + std::to_string(step));
  }
}

void test_what_is_refused()
{
  Structure structure{{0.0, 0.0, 0.0, 1.0, 0.0, 0.0}, {5, 0, 0, 0, 5, 0, 0, 0, 5}, {true, true, true}};
  Neighbours neighbours(4.0, 1.0);
  const auto find = [&] { neighbours.find(structure.positions, structure.box, structure.periodic); };
  structure.box[8] = 0.0;
  check_error(find, "no volume");
  structure.periodic[2] = false;
  find();
  check(neighbours.first.back() == 2, "the vector of an axis that is not periodic is not looked at");
  structure.periodic[2] = true;
  structure.box[8] = 1e-5;
  check_error(find, "too many images");
  structure.box[8] = 5.0;
  structure.positions[3] = std::numeric_limits<double>::quiet_NaN();
  check_error(find, "position of atom 1 is not finite");
  structure.positions[3] = 1e9;
  check_error(find, "Atom 1 lies 200000000");
  structure.positions[3] = 1e3;
  find();
  check(neighbours.first.size() == 3 && neighbours.first[2] > 0, "after an error all is as before");
}

}  // namespace

int main()
{
  return checks::run([] {
    test_all_are_found();
    test_threads_do_not_matter();
    test_time_of_the_search_does_not_matter();
    test_what_is_refused();
  });
}
