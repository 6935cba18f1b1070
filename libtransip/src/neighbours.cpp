#include "transip/neighbours.h"

#include "transip/error.h"

#include <vesin.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace transip {

namespace {

using Shift = std::array<int, 3>;

/// All pairs within a radius, from vesin; freed when it goes.
class Pairs {
 public:
  Pairs(std::span<const double> atoms, const double (*vectors)[3], bool periodic, double radius)
  {
    VesinOptions options{};
    options.cutoff = radius;
    options.full = true;
    options.sorted = true;
    options.algorithm = VesinAutoAlgorithm;
    options.n_threads = 1;
    options.return_shifts = true;
    const bool along[3] = {periodic, periodic, periodic};
    const char *problem = nullptr;
    if (vesin_neighbors(reinterpret_cast<const double(*)[3]>(atoms.data()), atoms.size() / 3, vectors, along,
                        {VesinCPU, 0}, options, &list, &problem))
      throw Error(std::string("The neighbours could not be found: ") + (problem ? problem : "no reason given"));
  }
  ~Pairs()
  {
    if (list.device.type != VesinUnknownDevice) vesin_free(&list);
  }
  Pairs(const Pairs &) = delete;
  Pairs &operator=(const Pairs &) = delete;

  VesinNeighborList list;
};

}  // namespace

struct Neighbours::Impl {
  Impl(double cutoff, double skin) : cutoff(cutoff), skin(skin) {}

  bool outdated(std::span<const double> atoms, const std::array<double, 9> &box, bool periodic) const;
  void search(std::span<const double> atoms, const std::array<double, 9> &box, bool periodic);

  double cutoff, skin;  // Angstrom
  std::vector<double> atoms_then{};
  std::array<double, 9> box_then{};
  bool periodic_then = false;
  // Of the last search: places are the atoms and those images that are within cutoff and skin of any.
  std::vector<std::int64_t> owner{};
  std::vector<double> offset{};            // [places*3] Angstrom, from the owner
  std::vector<std::size_t> first{};        // [N+1] where an atom's candidates begin
  std::vector<std::int64_t> candidates{};  // places
  // Of the last call.
  std::vector<double> places{};
  std::vector<std::int64_t> row{};  // of a place; -1: it is within the cutoff of no atom
  std::vector<std::int64_t> found{};
  std::vector<std::size_t> end{};  // [N+1] where an atom's part of `found` ends
};

bool Neighbours::Impl::outdated(std::span<const double> atoms, const std::array<double, 9> &box, bool periodic) const
{
  if (atoms.size() != atoms_then.size() || periodic != periodic_then || (periodic && box != box_then)) return true;
  const double allowed = 0.25 * skin * skin;
  for (std::size_t i = 0; i < atoms.size(); i += 3) {
    double moved = 0.0;
    for (std::size_t d = i; d < i + 3; d++) moved += (atoms[d] - atoms_then[d]) * (atoms[d] - atoms_then[d]);
    // Not a number counts as moved: vesin tells what is wrong.
    if (!(moved < allowed)) return true;
  }
  return false;
}

void Neighbours::Impl::search(std::span<const double> atoms, const std::array<double, 9> &box, bool periodic)
{
  const std::size_t count = atoms.size() / 3;
  atoms_then.clear();  // if the search throws, nothing is kept of it
  double vectors[3][3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
  if (periodic)
    for (int line = 0; line < 3; line++)
      for (int d = 0; d < 3; d++) vectors[line][d] = box[3 * line + d];
  const Pairs pairs(atoms, vectors, periodic, cutoff + skin);
  const VesinNeighborList &list = pairs.list;

  owner.resize(count);
  for (std::size_t i = 0; i < count; i++) owner[i] = static_cast<std::int64_t>(i);
  offset.assign(3 * count, 0.0);
  first.assign(count + 1, 0);
  candidates.resize(list.length);
  std::vector<std::vector<std::pair<Shift, std::int64_t>>> images(count);
  for (std::size_t pair = 0; pair < list.length; pair++) {
    const std::size_t i = list.pairs[pair][0], j = list.pairs[pair][1];
    const Shift shift{list.shifts[pair][0], list.shifts[pair][1], list.shifts[pair][2]};
    first[i + 1]++;
    candidates[pair] = static_cast<std::int64_t>(j);
    if (shift == Shift{}) continue;
    const auto known = std::find_if(images[j].begin(), images[j].end(),
                                    [&](const auto &image) { return image.first == shift; });
    if (known != images[j].end()) {
      candidates[pair] = known->second;
      continue;
    }
    candidates[pair] = static_cast<std::int64_t>(owner.size());
    images[j].emplace_back(shift, candidates[pair]);
    owner.push_back(static_cast<std::int64_t>(j));
    for (int d = 0; d < 3; d++)
      offset.push_back(shift[0] * vectors[0][d] + shift[1] * vectors[1][d] + shift[2] * vectors[2][d]);
  }
  for (std::size_t i = 0; i < count; i++) first[i + 1] += first[i];
  atoms_then.assign(atoms.begin(), atoms.end());
  box_then = box;
  periodic_then = periodic;
}

Neighbours::Neighbours(double cutoff, double skin) : impl_(std::make_unique<Impl>(cutoff, skin)) {}
Neighbours::~Neighbours() = default;
Neighbours::Neighbours(Neighbours &&) noexcept = default;
Neighbours &Neighbours::operator=(Neighbours &&) noexcept = default;

void Neighbours::find(std::span<const double> atoms, const std::array<double, 9> &box, bool periodic)
{
  const std::size_t count = atoms.size() / 3;
  Impl &last = *impl_;
  owner.clear();
  positions.assign(atoms.begin(), atoms.end());
  neighbours.clear();
  if (count == 0) return;
  if (last.outdated(atoms, box, periodic)) last.search(atoms, box, periodic);

  const std::size_t places = last.owner.size();
  last.places.resize(3 * places);
  for (std::size_t place = 0; place < places; place++)
    for (std::size_t d = 0; d < 3; d++)
      last.places[3 * place + d] = atoms[3 * static_cast<std::size_t>(last.owner[place]) + d] + last.offset[3 * place + d];
  for (std::size_t i = 0; i < count; i++) owner.push_back(static_cast<std::int64_t>(i));
  last.row.assign(places, -1);
  std::copy(owner.begin(), owner.end(), last.row.begin());

  const double within = last.cutoff * last.cutoff;
  last.found.resize(last.candidates.size());
  last.end.assign(count + 1, 0);
  std::size_t slots = 0, filled = 0;
  for (std::size_t i = 0; i < count; i++) {
    const double *here = &last.places[3 * i];
    for (std::size_t pair = last.first[i]; pair < last.first[i + 1]; pair++) {
      const double *there = &last.places[3 * static_cast<std::size_t>(last.candidates[pair])];
      const double x = there[0] - here[0], y = there[1] - here[1], z = there[2] - here[2];
      last.found[filled] = last.candidates[pair];
      // Without a branch, which could not be foreseen: what is too far is written over by the next.
      filled += x * x + y * y + z * z < within;
    }
    last.end[i + 1] = filled;
    slots = std::max(slots, filled - last.end[i]);
  }
  neighbours.assign(count * slots, -1);
  for (std::size_t i = 0; i < count; i++) {
    std::int64_t *slot = &neighbours[i * slots];
    for (std::size_t pair = last.end[i]; pair < last.end[i + 1]; pair++) {
      const auto place = static_cast<std::size_t>(last.found[pair]);
      if (last.row[place] < 0) {
        last.row[place] = static_cast<std::int64_t>(owner.size());
        owner.push_back(last.owner[place]);
        positions.insert(positions.end(), &last.places[3 * place], &last.places[3 * place] + 3);
      }
      *slot++ = last.row[place];
    }
  }
}

}  // namespace transip
