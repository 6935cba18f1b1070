// The search for neighbours under the emulator, against a look at every pair.
//
// --few: two small structures, for ThreadSanitizer.

#include "checks.h"
#include "cuda_on_cpu.h"

#include "cuda/kernels/search.cuh"
#include "cuda/arrays.h"
#include "cuda/search_plan.h"
#include "modelfile/reference_box.h"
#include "structures.h"
#include "transip/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iostream>
#include <memory>
#include <tuple>

namespace {

using checks::check;
using namespace transip::cuda;

void thread_of(SearchKernel kernel, const Search &search, int part)
{
  switch (kernel) {
#define TRANSIP_CASE(name) \
  case SearchKernel::name: return name(search, part);
    TRANSIP_SEARCH_KERNELS(TRANSIP_CASE)
#undef TRANSIP_CASE
  }
}

void run(const Search &search, const std::vector<Launch> &launches, unsigned seed)
{
  for (const Launch &launch : launches)
    emulator::run({launch.grid_x, 1, 1}, launch.threads, seed++,
                  [&] { thread_of(static_cast<SearchKernel>(launch.kernel), search, launch.part); });
}

void seek(const Search &search, unsigned seed)
{
  run(search, plan_search(search, true), seed);
  run(search, plan_move(search, true), seed + 100);
}

Periodicity periodicity(const TestStructure &structure)
{
  return {structure.cell, {structure.periodic(), structure.periodic(), structure.periodic()}};
}

/// A search with its memory.
struct Arrays {
  Arrays(const TestStructure &structure, const Periodicity &around, double cutoff, double skin, const Capacity &capacity)
      : atoms(structure.positions), species(structure.species.begin(), structure.species.end()),
        box(make_search_box(around, cutoff + skin, skin, static_cast<int>(structure.species.size())))
  {
    search.structures = 1;
    search.atoms = static_cast<int>(structure.species.size());
    search.most_rows = capacity.rows;
    search.most_edges = capacity.edges;
    search.most_cells = most_cells(search.atoms);
    search.most_shifts = shifts_of(box);
    search.reach = cutoff + skin;
    search.box = &box;
    search.atom = atoms.data();
    search.atom_species = species.data();
    own = fresh(place_search(search, nullptr));
    place_search(search, own.get());
    lists = fresh(place_inputs(search.lists, capacity, nullptr));
    place_inputs(search.lists, capacity, lists.get());
  }
  static std::unique_ptr<std::byte[]> fresh(std::size_t bytes)
  {
    auto memory = std::make_unique<std::byte[]>(bytes + 1);
    std::memset(memory.get(), 0xff, bytes);
    return memory;
  }

  std::vector<double> atoms;
  std::vector<int> species;
  SearchBox box;
  Search search{};
  std::unique_ptr<std::byte[]> own, lists;
};

/// Owner and displacement of every neighbour of a token, sorted.
using Neighbours = std::vector<std::array<double, 4>>;

Neighbours sorted(Neighbours all)
{
  for (auto &one : all)
    for (double &x : one) x = std::round(x * 1e9) * 1e-9;
  std::sort(all.begin(), all.end());
  return all;
}

void check_lists(const TestStructure &structure, const Neighbourhood &truth, const Search &search)
{
  const Inputs &lists = search.lists;
  const auto atoms = structure.species.size();
  std::size_t edges = 0;
  bool good = true, back = true;
  for (std::size_t t = 0; t < atoms; t++) {
    Neighbours found, wanted;
    for (int e = lists.first[t]; e < lists.first[t + 1]; e++) {
      const int row = lists.row[e];
      std::array<double, 4> one{static_cast<double>(search.order[lists.owner[row]])};
      for (std::size_t x = 0; x < 3; x++) one[x + 1] = lists.positions[3 * row + x] - lists.positions[3 * t + x];
      found.push_back(one);
    }
    const auto atom = static_cast<std::size_t>(search.order[t]);
    good = good && lists.species[t] == structure.species[atom];
    for (auto n = static_cast<std::size_t>(truth.first[atom]); n < static_cast<std::size_t>(truth.first[atom + 1]); n++) {
      const std::int64_t row = truth.neighbours[n];
      std::array<double, 4> one{static_cast<double>(truth.owner[static_cast<std::size_t>(row)])};
      for (std::size_t x = 0; x < 3; x++)
        one[x + 1] = truth.positions[3 * static_cast<std::size_t>(row) + x] - truth.positions[3 * atom + x];
      wanted.push_back(one);
    }
    edges += wanted.size();
    const Neighbours a = sorted(found), b = sorted(wanted);
    good = good && a.size() == b.size();
    for (std::size_t n = 0; good && n < a.size(); n++)
      for (std::size_t x = 0; x < 4; x++) good = good && std::abs(a[n][x] - b[n][x]) < 1e-8;
  }
  check(good, structure.name + ": neighbours");
  const Counts &counts = *lists.counts;
  check(static_cast<std::size_t>(counts.edges) == edges && static_cast<std::size_t>(counts.tokens) == atoms,
        structure.name + ": counts");
  for (int row = 0; row < counts.rows; row++)
    for (int n = lists.back_first[row]; n < lists.back_first[row + 1]; n++) {
      const int e = lists.back_edge[n], t = lists.back_token[n];
      back = back && lists.row[e] == row && lists.first[t] <= e && e < lists.first[t + 1];
      back = back && (n == lists.back_first[row] || lists.back_edge[n - 1] < e);
    }
  check(back && lists.back_first[counts.rows] == counts.edges, structure.name + ": edges by their rows");
  bool images = lists.image_first[0] == 0 && lists.image_first[atoms] == counts.rows - counts.tokens;
  for (std::size_t t = 0; t < atoms; t++)
    for (int n = lists.image_first[t]; n < lists.image_first[t + 1]; n++)
      images = images && lists.owner[lists.image_row[n]] == static_cast<int>(t) &&
               (n == lists.image_first[t] || lists.image_row[n - 1] < lists.image_row[n]);
  check(images, structure.name + ": images by their owners");
}

/// Places of the rows after atoms have moved, and the watch that is kept on them.
void check_moves(const TestStructure &structure, Arrays &arrays)
{
  const Search &search = arrays.search;
  const Inputs &lists = search.lists;
  if (structure.species.empty()) return;
  const std::vector<double> before(lists.positions, lists.positions + 3 * lists.counts->rows);
  for (std::size_t i = 0; i < arrays.atoms.size(); i++) arrays.atoms[i] += 0.1 * std::sin(static_cast<double>(i));
  run(search, plan_move(search, true), 5);
  bool good = true;
  for (int row = 0; row < lists.counts->rows; row++)
    for (int x = 0; x < 3; x++)
      good = good && std::abs(lists.positions[3 * row + x] - before[3 * row + x] -
                              0.1 * std::sin(static_cast<double>(3 * search.order[lists.owner[row]] + x))) < 1e-9;
  check(good, structure.name + ": rows move with their owners");
  check(*search.moved == 0 && *search.moved_far == 0, structure.name + ": a small move leaves the lists");
  arrays.atoms[0] += 0.48;
  run(search, plan_move(search, true), 6);
  check(*search.moved == 1 && *search.moved_far == 0, structure.name + ": a move that nearly is too far is seen");
  arrays.atoms[0] += 0.1;
  run(search, plan_move(search, true), 7);
  check(*search.moved_far == 1, structure.name + ": a move that is too far is seen");
}

void test_structure(const TestStructure &structure)
{
  constexpr double cutoff = 4.0, skin = 1.0;
  const Neighbourhood truth(structure, cutoff + skin);
  // Images differ in number between the two: those here are counted from the box.
  const Capacity capacity{static_cast<int>(structure.species.size()), 2 * static_cast<int>(truth.owner.size()) + 50,
                          static_cast<int>(truth.neighbours.size()) + 50};
  const Periodicity around = periodicity(structure);
  Arrays one(structure, around, cutoff, skin, capacity), two(structure, around, cutoff, skin, capacity);
  seek(one.search, 1);
  seek(two.search, 1000);
  check_lists(structure, truth, one.search);
  const std::size_t bytes = place_inputs(one.search.lists, capacity, one.lists.get());
  check(std::memcmp(one.lists.get(), two.lists.get(), bytes) == 0, structure.name + ": the same lists in any order");
  check_moves(structure, one);
}

/// A slab and a wire: periodic along some of the vectors. The truth has cells along the others that are wide enough.
void test_partly_periodic(const std::array<bool, 3> &periodic)
{
  const std::array<double, 9> box{9, 0, 0, 2, 8, 0, -1, 2, 7};
  TestStructure structure = random_structure("30 atoms periodic along some vectors", 30, box, {1, 8}, 6);
  // What random_structure moved far away would be alone where nothing brings it back.
  for (std::size_t i = 0; i < structure.species.size(); i += 5)
    for (std::size_t x = 0; x < 3; x++) structure.positions[3 * i + x] -= 2.0 * box[x] - box[3 + x];
  for (std::size_t a = 0; a < 3; a++)
    if (!periodic[a])
      for (std::size_t x = 0; x < 3; x++) structure.cell[3 * a + x] *= 10.0;
  const Neighbourhood truth(structure, 5.0);
  Arrays arrays(structure, {box, periodic}, 4.0, 1.0, {30, 2000, 20000});
  seek(arrays.search, 1);
  check_lists(structure, truth, arrays.search);
}

void test_room()
{
  const TestStructure structure = random_structure("8 atoms", 8, {5.0, 0, 0, 1.5, 4.5, 0, -0.7, 0.9, 4.0}, {1, 8}, 1);
  Arrays small(structure, periodicity(structure), 4.0, 0.0, {8, 10, 20});
  seek(small.search, 1);
  const Neighbourhood truth(structure, 4.0);
  check(static_cast<std::size_t>(small.search.needed->edges) == truth.neighbours.size() &&
            small.search.lists.counts->tokens == 0,
        "lists that have no room say how much they want, and leave nothing to do");
}

void test_bad_boxes()
{
  for (const auto &box : {std::array<double, 9>{1, 0, 0, 1, 0, 0, 0, 0, 1},
                          std::array<double, 9>{0.01, 0, 0, 0, 0.01, 0, 0, 0, 0.01}}) {
    try {
      make_search_box({box, {true, true, true}}, 5.0, 1.0, 1);
      check(false, "a bad box is refused");
    } catch (const transip::Error &) {
    }
  }
}

/// A reference names no box: the one that is found leads to the same neighbours.
void test_box_of_a_reference(const std::array<double, 9> &cell, int vectors)
{
  constexpr double cutoff = 3.0;
  const TestStructure structure{"", {1, 8, 1}, {0.2, 0.3, 0.1, 1.4, 0.2, 0.9, 0.6, 1.5, 1.7}, cell};
  const Neighbourhood around(structure, cutoff);
  transip::Reference reference;
  reference.species = structure.species;
  reference.positions = around.positions;
  reference.owner = around.owner;
  const auto box = transip::box_of(reference);
  check(box && std::ranges::count(box->periodic, true) == vectors, "vectors of the box of a reference");
  if (box && vectors == 3) {
    TestStructure found = structure;
    found.cell = box->vectors;
    check(Neighbourhood(found, cutoff).first == around.first, "neighbours in the box of a reference");
  }
  if (vectors == 0) return;
  reference.positions.back() += 0.01;
  check(!transip::box_of(reference), "an image that lies in no lattice");
}

}  // namespace

int main(int count, char **)
{
  const bool few = count > 1;
  const std::array<double, 9> tiny{2.6, 0, 0, 0.9, 2.4, 0, -0.7, 0.9, 2.5}, skew{9, 0, 0, 5, 8, 0, -4, 6, 11};
  TestStructure nothing = random_structure("no atoms", 1, tiny, {1}, 1);
  nothing.species.clear();
  nothing.positions.clear();
  return checks::run([&] {
    test_structure(random_structure("2 atoms in a tiny triclinic cell", 2, tiny, {1, 8}, 1));
    test_structure(random_structure("12 atoms in vacuum", 12, {}, {1, 8}, 2));
    if (!few) {
      test_structure(nothing);
      test_structure(random_structure("one atom in a tiny cell", 1, tiny, {1}, 1));
      test_structure(random_structure("40 atoms in a skew box", 40, skew, {1, 8}, 3));
      test_structure(random_structure("60 atoms in a long box", 60, {27, 0, 0, 0, 5.5, 0, 3, 0, 6}, {1, 8}, 4));
      for (const auto &periodic : {std::array<bool, 3>{true, true, false}, std::array<bool, 3>{false, true, false}})
        test_partly_periodic(periodic);
      test_room();
      test_bad_boxes();
      test_box_of_a_reference({2.6, 0, 0, 0.9, 2.4, 0, -0.7, 0.9, 2.5}, 3);
      test_box_of_a_reference({2.6, 0, 0, 0, 40, 0, 0, 0, 40}, 1);
      test_box_of_a_reference({2.6, 0, 0, 1.0, 2.7, 0, 0, 0, 40}, 2);
      test_box_of_a_reference({}, 0);
    }
  });
}
