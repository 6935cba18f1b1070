#include "transip/neighbours.h"

#include "transip/error.h"

#include <vesin.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <utility>

namespace transip {

namespace {

using Shift = std::array<int, 3>;

/// All pairs within a radius, from vesin; freed when it goes.
class Pairs {
 public:
  Pairs(std::span<const double> atoms, const double (*vectors)[3], const std::array<bool, 3> &periodic, double radius)
  {
    VesinOptions options{};
    options.cutoff = radius;
    options.full = true;
    options.sorted = false;
    options.algorithm = VesinAutoAlgorithm;
    options.n_threads = 1;
    options.return_shifts = true;
    const bool along[3] = {periodic[0], periodic[1], periodic[2]};
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

Shift shift_of(const VesinNeighborList &list, std::size_t pair)
{
  return {list.shifts[pair][0], list.shifts[pair][1], list.shifts[pair][2]};
}

/// Pairs by atom, neighbour and shift, so that sums over neighbours do not depend on when the list was made.
std::vector<std::size_t> ordered(const VesinNeighborList &list, std::size_t count)
{
  struct Pair {
    std::size_t neighbour, pair;
    Shift shift;
  };
  std::vector<std::size_t> first(count + 1, 0);
  for (std::size_t pair = 0; pair < list.length; pair++) first[list.pairs[pair][0] + 1]++;
  for (std::size_t i = 0; i < count; i++) first[i + 1] += first[i];
  std::vector<Pair> by_atom(list.length);
  std::vector<std::size_t> next(first.begin(), first.end() - 1);
  for (std::size_t pair = 0; pair < list.length; pair++)
    by_atom[next[list.pairs[pair][0]]++] = {list.pairs[pair][1], pair, shift_of(list, pair)};
  // Each atom's pairs by themselves, for they stay in the nearest cache.
  for (std::size_t i = 0; i < count; i++)
    std::sort(by_atom.begin() + static_cast<std::ptrdiff_t>(first[i]),
              by_atom.begin() + static_cast<std::ptrdiff_t>(first[i + 1]), [](const Pair &a, const Pair &b) {
                return std::tie(a.neighbour, a.shift) < std::tie(b.neighbour, b.shift);
              });
  std::vector<std::size_t> order(list.length);
  std::transform(by_atom.begin(), by_atom.end(), order.begin(), [](const Pair &one) { return one.pair; });
  return order;
}

}  // namespace

struct Neighbours::Impl {
  Impl(double cutoff, double skin, Reach reach) : cutoff(cutoff), skin(skin), reach(reach) {}

  bool outdated(std::span<const double> atoms, const std::array<double, 9> &box, const std::array<bool, 3> &periodic) const;
  void search(std::span<const double> atoms, const std::array<double, 9> &box, const std::array<bool, 3> &periodic);
  void place_images(const double (*vectors)[3], const std::vector<std::vector<Shift>> &images);

  double cutoff, skin;  // Angstrom
  Reach reach;
  std::vector<double> atoms_then{};
  std::array<double, 9> box_then{};
  std::array<bool, 3> periodic_then{};
  // Results of the last search: places are the atoms and those images that are within cutoff and skin of any.
  std::vector<std::int64_t> owner{};
  std::vector<double> offset{};            // [places*3] Angstrom, from the owner
  std::vector<std::int64_t> first{};       // [N+1] where an atom's candidates begin
  std::vector<std::int64_t> candidates{};  // places
  std::vector<std::int64_t> row{};         // of a place in the last call; -1: it is within the cutoff of no atom
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
    // Not a number counts as moved: vesin reports what is wrong.
    if (!(moved < allowed)) return true;
  }
  return false;
}

void Neighbours::Impl::search(std::span<const double> atoms, const std::array<double, 9> &box,
                              const std::array<bool, 3> &periodic)
{
  const std::size_t count = atoms.size() / 3;
  atoms_then.clear();  // if the search throws, nothing is kept of it
  double vectors[3][3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
  for (int line = 0; line < 3; line++)
    if (periodic[line])
      for (int d = 0; d < 3; d++) vectors[line][d] = box[3 * line + d];
  const Pairs pairs(atoms, vectors, periodic, cutoff + skin);
  const VesinNeighborList &list = pairs.list;

  std::vector<std::vector<Shift>> images(count);
  for (std::size_t pair = 0; pair < list.length; pair++) {
    const Shift shift = shift_of(list, pair);
    if (shift == Shift{}) continue;
    std::vector<Shift> &known = images[list.pairs[pair][1]];
    if (std::find(known.begin(), known.end(), shift) == known.end()) known.push_back(shift);
  }
  std::vector<std::int64_t> first_image(count);
  auto place = static_cast<std::int64_t>(count);
  for (std::size_t i = 0; i < count; i++) {
    std::sort(images[i].begin(), images[i].end());
    first_image[i] = place;
    place += static_cast<std::int64_t>(images[i].size());
  }
  place_images(vectors, images);

  first.assign(count + 1, 0);
  candidates.clear();
  for (const std::size_t pair : ordered(list, count)) {
    const std::size_t i = list.pairs[pair][0], j = list.pairs[pair][1];
    const Shift shift = shift_of(list, pair);
    first[i + 1]++;
    if (shift == Shift{}) {
      candidates.push_back(static_cast<std::int64_t>(j));
    } else {
      const auto known = std::lower_bound(images[j].begin(), images[j].end(), shift);
      candidates.push_back(first_image[j] + (known - images[j].begin()));
    }
  }
  for (std::size_t i = 0; i < count; i++) first[i + 1] += first[i];
  atoms_then.assign(atoms.begin(), atoms.end());
  box_then = box;
  periodic_then = periodic;
}

/// Lists atoms and images, the images of an atom by their shifts: so that sums over them do not depend on when the list
/// was made, nor on which others there are.
void Neighbours::Impl::place_images(const double (*vectors)[3], const std::vector<std::vector<Shift>> &images)
{
  const std::size_t count = images.size();
  owner.resize(count);
  for (std::size_t i = 0; i < count; i++) owner[i] = static_cast<std::int64_t>(i);
  offset.assign(3 * count, 0.0);
  for (std::size_t i = 0; i < count; i++)
    for (const Shift &shift : images[i]) {
      owner.push_back(static_cast<std::int64_t>(i));
      for (int d = 0; d < 3; d++)
        offset.push_back(shift[0] * vectors[0][d] + shift[1] * vectors[1][d] + shift[2] * vectors[2][d]);
    }
}

Neighbours::Neighbours(double cutoff, double skin, Reach reach)
    : impl_(std::make_unique<Impl>(cutoff, skin, reach))
{
}
Neighbours::~Neighbours() = default;
Neighbours::Neighbours(Neighbours &&) noexcept = default;
Neighbours &Neighbours::operator=(Neighbours &&) noexcept = default;

void Neighbours::find(std::span<const double> atoms, const std::array<double, 9> &box,
                      const std::array<bool, 3> &periodic)
{
  const std::size_t count = atoms.size() / 3;
  Impl &last = *impl_;
  const bool anew = count == 0 || last.outdated(atoms, box, periodic);
  if (anew) {
    owner.clear();
    neighbours.clear();
    first.assign(1, 0);
    positions.clear();
    last.atoms_then.clear();
    if (count == 0) return;
    last.search(atoms, box, periodic);
  }
  const std::size_t places = last.owner.size();
  positions.resize(3 * places);
  std::copy(atoms.begin(), atoms.end(), positions.begin());
  for (std::size_t place = count; place < places; place++)
    for (std::size_t d = 0; d < 3; d++)
      positions[3 * place + d] = atoms[3 * static_cast<std::size_t>(last.owner[place]) + d] + last.offset[3 * place + d];
  if (last.reach == Reach::cutoff) {
    keep_within_cutoff();
  } else if (anew) {
    owner = last.owner;
    first = last.first;
    neighbours = last.candidates;
  }
}

/// Leaves out pairs beyond the cutoff, and images that nobody sees then.
void Neighbours::keep_within_cutoff()
{
  Impl &last = *impl_;
  const double within = last.cutoff * last.cutoff;
  const std::size_t count = last.first.size() - 1, places = last.owner.size();
  neighbours.resize(last.candidates.size());
  first.assign(1, 0);
  last.row.assign(places, -1);
  std::size_t filled = 0;
  for (std::size_t i = 0; i < count; i++) {
    const double *here = &positions[3 * i];
    for (std::int64_t pair = last.first[i]; pair < last.first[i + 1]; pair++) {
      const std::int64_t place = last.candidates[static_cast<std::size_t>(pair)];
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
    owner.push_back(last.owner[place]);
  }
  positions.resize(3 * owner.size());
  for (std::int64_t &neighbour : neighbours) neighbour = last.row[static_cast<std::size_t>(neighbour)];
}

}  // namespace transip
