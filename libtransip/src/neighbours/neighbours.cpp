#include "transip/neighbours.h"

#include "image_search.h"

#include <algorithm>
#include <cmath>

namespace transip {

struct Neighbours::Impl {
  Impl(double cutoff, double skin, Reach reach) : cutoff(cutoff), skin(skin), reach(reach) {}

  bool outdated(std::span<const double> atoms, const std::array<double, 9> &box, const std::array<bool, 3> &periodic) const;

  double cutoff, skin;  // Angstrom
  Reach reach;
  std::vector<double> atoms_then{};
  std::array<double, 9> box_then{};
  std::array<bool, 3> periodic_then{};
  ImageSearch found{};              // within cutoff and skin
  std::vector<std::int64_t> row{};  // of a place in the last call; -1: it is within the cutoff of no atom
};

bool Neighbours::Impl::outdated(std::span<const double> atoms, const std::array<double, 9> &box,
                                const std::array<bool, 3> &periodic) const
{
  const bool any = periodic[0] || periodic[1] || periodic[2];
  if (atoms.size() != atoms_then.size() || periodic != periodic_then || (any && box != box_then)) return true;
  const double allowed = 0.25 * skin * skin;
  for (std::size_t i = 0; i < atoms.size(); i += 3) {
    double moved = 0.0;
    for (std::size_t d = i; d < i + 3; d++) moved += (atoms[d] - atoms_then[d]) * (atoms[d] - atoms_then[d]);
    // Not a number counts as moved: the search reports what is wrong.
    if (!(moved < allowed)) return true;
  }
  return false;
}

Neighbours::Neighbours(double cutoff, double skin, Reach reach)
    : impl_(std::make_unique<Impl>(cutoff, skin, reach))
{
}
Neighbours::~Neighbours() = default;
Neighbours::Neighbours(Neighbours &&) noexcept = default;
Neighbours &Neighbours::operator=(Neighbours &&) noexcept = default;

void Neighbours::find(std::span<const double> atoms, const std::array<double, 9> &box,
                      const std::array<bool, 3> &periodic, native::Workers *workers)
{
  const std::size_t count = atoms.size() / 3;
  Impl &last = *impl_;
  const bool anew = count == 0 || last.outdated(atoms, box, periodic);
  if (anew) {
    owner.clear();
    neighbours.clear();
    first.assign(1, 0);
    positions.clear();
    last.atoms_then.clear();  // if the search throws, nothing is kept of it
    if (count == 0) return;
    last.found.find(atoms, box, periodic, last.cutoff + last.skin, workers);
    last.atoms_then.assign(atoms.begin(), atoms.end());
    last.box_then = box;
    last.periodic_then = periodic;
  }
  const std::size_t places = last.found.owner.size();
  positions.resize(3 * places);
  std::copy(atoms.begin(), atoms.end(), positions.begin());
  for (std::size_t place = count; place < places; place++)
    for (std::size_t d = 0; d < 3; d++)
      positions[3 * place + d] = atoms[3 * static_cast<std::size_t>(last.found.owner[place]) + d] + last.found.offset[3 * place + d];
  if (last.reach == Reach::cutoff) {
    keep_within_cutoff();
  } else if (anew) {
    owner = last.found.owner;
    first = last.found.first;
    neighbours = last.found.neighbours;
  }
}

/// Leaves out pairs beyond the cutoff, and images that nobody sees then.
void Neighbours::keep_within_cutoff()
{
  Impl &last = *impl_;
  const double within = last.cutoff * last.cutoff;
  const std::size_t count = last.found.first.size() - 1, places = last.found.owner.size();
  neighbours.resize(last.found.neighbours.size());
  first.assign(1, 0);
  last.row.assign(places, -1);
  std::size_t filled = 0;
  for (std::size_t i = 0; i < count; i++) {
    const double *here = &positions[3 * i];
    for (std::int64_t pair = last.found.first[i]; pair < last.found.first[i + 1]; pair++) {
      const std::int64_t place = last.found.neighbours[static_cast<std::size_t>(pair)];
      const double *there = &positions[3 * static_cast<std::size_t>(place)];
      const double x = there[0] - here[0], y = there[1] - here[1], z = there[2] - here[2];
      neighbours[filled] = place;
      // Without a branch, which could not be foreseen: what is too far is written over by the next.
      filled += x * x + y * y + z * z < within;
    }
    first.push_back(static_cast<std::int64_t>(filled));
  }
  neighbours.resize(filled);
  for (const std::int64_t place : neighbours) last.row[static_cast<std::size_t>(place)] = place;
  owner.clear();
  for (std::size_t place = 0; place < places; place++) {
    if (place >= count && last.row[place] < 0) continue;
    last.row[place] = static_cast<std::int64_t>(owner.size());
    for (std::size_t d = 0; d < 3; d++) positions[3 * owner.size() + d] = positions[3 * place + d];
    owner.push_back(last.found.owner[place]);
  }
  positions.resize(3 * owner.size());
  for (std::int64_t &neighbour : neighbours) neighbour = last.row[static_cast<std::size_t>(neighbour)];
}

}  // namespace transip
