#include "transip/neighbours.h"

#include "transip/error.h"

#include <vesin.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>

namespace transip {

struct Neighbours::Impl {
  Impl(double cutoff, double skin)
  {
    options.cutoff = cutoff;
    options.full = true;
    options.sorted = true;
    options.algorithm = VesinAutoAlgorithm;
    options.skin = skin;
    options.n_threads = 1;
    options.return_shifts = true;
    options.return_distances = false;
    options.return_vectors = false;
  }
  ~Impl()
  {
    if (list.device.type != VesinUnknownDevice) vesin_free(&list);
  }
  Impl(const Impl &) = delete;
  Impl &operator=(const Impl &) = delete;

  VesinOptions options{};
  VesinNeighborList list;
};

Neighbours::Neighbours(double cutoff, double skin) : impl_(std::make_unique<Impl>(cutoff, skin)) {}
Neighbours::~Neighbours() = default;
Neighbours::Neighbours(Neighbours &&) noexcept = default;
Neighbours &Neighbours::operator=(Neighbours &&) noexcept = default;

void Neighbours::find(std::span<const double> atoms, const std::array<double, 9> &box, bool periodic)
{
  const std::size_t count = atoms.size() / 3;
  positions.assign(atoms.begin(), atoms.end());
  owner.resize(count);
  for (std::size_t i = 0; i < count; i++) owner[i] = static_cast<std::int64_t>(i);
  neighbours.clear();
  if (count == 0) return;

  double vectors[3][3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
  if (periodic)
    for (int row = 0; row < 3; row++)
      for (int d = 0; d < 3; d++) vectors[row][d] = box[3 * row + d];
  const bool along[3] = {periodic, periodic, periodic};
  const char *problem = nullptr;
  const int failed =
      vesin_neighbors(reinterpret_cast<const double(*)[3]>(atoms.data()), count, vectors, along, {VesinCPU, 0},
                      impl_->options, &impl_->list, &problem);
  if (failed) throw Error(std::string("The neighbours could not be found: ") + (problem ? problem : "no reason given"));

  const VesinNeighborList &list = impl_->list;
  std::vector<std::int64_t> rows(list.length);
  std::vector<std::size_t> counts(count, 0);
  std::map<std::tuple<std::size_t, int, int, int>, std::int64_t> images;
  for (std::size_t pair = 0; pair < list.length; pair++) {
    const auto [i, j] = std::tie(list.pairs[pair][0], list.pairs[pair][1]);
    const auto &shift = list.shifts[pair];
    counts[i]++;
    if (shift[0] == 0 && shift[1] == 0 && shift[2] == 0) {
      rows[pair] = static_cast<std::int64_t>(j);
      continue;
    }
    const auto [place, is_new] =
        images.try_emplace({j, shift[0], shift[1], shift[2]}, static_cast<std::int64_t>(owner.size()));
    rows[pair] = place->second;
    if (!is_new) continue;
    owner.push_back(static_cast<std::int64_t>(j));
    for (int d = 0; d < 3; d++)
      positions.push_back(atoms[3 * j + d] + shift[0] * vectors[0][d] + shift[1] * vectors[1][d] +
                          shift[2] * vectors[2][d]);
  }

  const std::size_t slots = *std::max_element(counts.begin(), counts.end());
  neighbours.assign(count * slots, -1);
  std::fill(counts.begin(), counts.end(), 0);
  for (std::size_t pair = 0; pair < list.length; pair++) {
    const std::size_t i = list.pairs[pair][0];
    neighbours[i * slots + counts[i]++] = rows[pair];
  }
}

}  // namespace transip
