#include "symmetry_tables.h"

#include "transip/error.h"

#include <array>
#include <cmath>
#include <numeric>
#include <string>

namespace transip {

namespace {

/// Rotations of the sets, in the order in which a file holds them; EXACT_TO in Python.
constexpr std::array<int, 7> counts = {2, 4, 12, 24, 60, 208, 380};
constexpr std::int64_t all_rotations = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
constexpr std::int64_t elements = 119;
/// Two atoms are taken for bonded up to this multiple of the sum of their covalent radii; BONDED in Python.
constexpr double bonded = 1.5;

/// Number of atoms that hang together with the first by bonds.
std::size_t size_of_molecule(std::span<const std::int64_t> species, std::span<const double> positions,
                             const std::vector<double> &radii)
{
  const auto radius = [&](std::size_t atom) { return radii[static_cast<std::size_t>(species[atom])]; };
  std::vector<std::size_t> molecule = {0};
  std::vector<bool> inside(species.size());
  inside[0] = true;
  for (std::size_t next = 0; next < molecule.size(); next++) {
    const std::size_t i = molecule[next];
    for (std::size_t j = 0; j < species.size(); j++) {
      const double distance = std::hypot(positions[3 * i] - positions[3 * j], positions[3 * i + 1] - positions[3 * j + 1],
                                         positions[3 * i + 2] - positions[3 * j + 2]);
      if (inside[j] || !(distance < bonded * (radius(i) + radius(j)))) continue;
      inside[j] = true;
      molecule.push_back(j);
    }
  }
  return molecule.size();
}

}  // namespace

std::optional<SymmetryTables> SymmetryTables::from(const Weights &weights)
{
  if (!weights.has("symmetry.rotations")) return std::nullopt;
  SymmetryTables tables;
  tables.rotations_ = weights.get("symmetry.rotations", {all_rotations, 3, 3});
  tables.weights_ = weights.get("symmetry.weights", {all_rotations});
  tables.masses_ = weights.get("symmetry.masses", {elements});
  tables.radii_ = weights.get("symmetry.radii", {elements});
  return tables;
}

RotationSet SymmetryTables::rotation_set(int count, bool inversion) const
{
  std::ptrdiff_t first = 0;
  std::string known;
  for (const int one : counts) {
    if (one == count) {
      RotationSet set{{rotations_.begin() + 9 * first, rotations_.begin() + 9 * (first + count)},
                      {weights_.begin() + first, weights_.begin() + first + count}};
      if (!inversion) return set;
      const std::size_t proper = set.rotations.size();
      for (std::size_t i = 0; i < proper; i++) set.rotations.push_back(-set.rotations[i]);
      for (double &weight : set.weights) weight *= 0.5;
      const std::vector<double> half = set.weights;
      set.weights.insert(set.weights.end(), half.begin(), half.end());
      return set;
    }
    first += one;
    known += (known.empty() ? "" : ", ") + std::to_string(one);
  }
  throw Error("symmetry average takes one of [" + known + "] rotations; got " + std::to_string(count) + ".");
}

Frame SymmetryTables::make_frame(std::span<const std::int64_t> species, std::span<const double> positions) const
{
  const std::size_t count = species.size();
  if (count == 0 || positions.size() != 3 * count)
    throw Error("symmetry frame takes a reference with all atoms of the molecule; got " +
                std::to_string(positions.size() / 3) + " for " + std::to_string(count) + ".");
  for (const std::int64_t number : species)
    if (number < 0 || number >= elements)
      throw Error("symmetry frame: " + std::to_string(number) + " is no atomic number.");
  if (const std::size_t size = size_of_molecule(species, positions, radii_); size < count)
    throw Error("symmetry frame takes one molecule; only " + std::to_string(size) + " of the reference's " +
                std::to_string(count) + " atoms hang together by bonds. Several molecules have no common frame: use "
                "symmetry average N.");
  std::vector<double> masses(count);
  double total = 0.0;
  for (std::size_t i = 0; i < count; i++) total += masses[i] = masses_[static_cast<std::size_t>(species[i])];
  std::array<double, 3> centre{};
  for (std::size_t i = 0; i < count; i++) {
    masses[i] /= total;
    for (std::size_t x = 0; x < 3; x++) centre[x] += masses[i] * positions[3 * i + x];
  }
  std::vector<double> moments(3 * count);
  for (std::size_t i = 0; i < count; i++)
    for (std::size_t x = 0; x < 3; x++) moments[3 * i + x] = masses[i] * (positions[3 * i + x] - centre[x]);
  return Frame::of_reference(std::move(masses), std::move(moments));
}

}  // namespace transip
