#include "search_plan.h"

#include "transip/error.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace transip::cuda {

namespace {

constexpr int most_cells = 128;  // along one vector
constexpr double most_images = 1e6;

using Vector = std::array<double, 3>;

Vector cross(const double *a, const double *b)
{
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

/// A box around atoms that are not periodic.
void surround(Search &search, std::span<const double> atoms)
{
  for (int x = 0; x < 3; x++) {
    double low = 0.0, high = 0.0;
    for (std::size_t i = static_cast<std::size_t>(x); i < atoms.size(); i += 3) {
      low = i < 3 ? atoms[i] : std::min(low, atoms[i]);
      high = i < 3 ? atoms[i] : std::max(high, atoms[i]);
    }
    search.origin[x] = low;
    search.box[4 * x] = std::max(high - low, search.reach);
  }
}

}  // namespace

Search make_search(double cutoff, double skin, const std::array<double, 9> &box, bool periodic,
                   std::span<const double> atoms)
{
  Search search{};
  search.atoms = static_cast<int>(atoms.size() / 3);
  search.periodic = periodic;
  search.reach = cutoff + skin;
  search.skin = skin;
  if (periodic)
    std::copy(box.begin(), box.end(), search.box);
  else
    surround(search, atoms);
  const double *v = search.box;
  const Vector first = cross(v + 3, v + 6);
  const double volume = first[0] * v[0] + first[1] * v[1] + first[2] * v[2];
  if (!(std::abs(volume) > 1e-9)) throw Error("The box has no volume.");
  double shifts = 1.0;
  for (int a = 0; a < 3; a++) {
    const Vector normal = cross(v + 3 * ((a + 1) % 3), v + 3 * ((a + 2) % 3));
    const double area = std::sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]);
    const double height = std::abs(volume) / area;
    for (int x = 0; x < 3; x++) search.inverse[3 * x + a] = normal[x] / volume;
    search.cells[a] = static_cast<int>(std::clamp(std::floor(height / search.reach), 1.0, double{most_cells}));
    // A little more than the reach, for the rounding of places in cells.
    const double away = std::floor(1.000001 * search.reach * search.cells[a] / height) + 1.0;
    const double images = periodic ? std::ceil(away / search.cells[a]) : 0.0;
    shifts *= 2.0 * images + 1.0;
    if (!(shifts < most_images))
      throw Error("The box is only " + std::to_string(height) + " Angstrom high; within " +
                  std::to_string(search.reach) + " Angstrom an atom would see too many images.");
    search.spread[a] = periodic ? static_cast<int>(away) : std::min(static_cast<int>(away), search.cells[a]);
    search.images[a] = static_cast<int>(images);
  }
  search.shifts = static_cast<int>(shifts);
  return search;
}

std::size_t place_search(Search &search, std::byte *start)
{
  std::size_t used = 0;
  const auto place = [&](auto *&array, std::size_t count) {
    using Item = std::remove_reference_t<decltype(*array)>;
    array = start ? reinterpret_cast<Item *>(start + used) : nullptr;
    used += (count * sizeof(Item) + 255) / 256 * 256;
  };
  const auto atoms = static_cast<std::size_t>(search.atoms), rows = static_cast<std::size_t>(search.most_rows),
             edges = static_cast<std::size_t>(search.most_edges),
             cells = static_cast<std::size_t>(search.cells[0]) * search.cells[1] * search.cells[2];
  for (double **array : {&search.atom_then, &search.wrap, &search.wrapped}) place(*array, 3 * atoms);
  for (int **array : {&search.cell_of, &search.cell_atom}) place(*array, atoms);
  for (int **array : {&search.cell_first, &search.cell_next}) place(*array, cells + 1);
  place(search.seen, atoms * static_cast<std::size_t>(search.shifts) + 1);
  place(search.image_shift, rows);
  place(search.edge_token, edges);
  place(search.back_next, rows + 1);
  place(search.needed, 1);
  place(search.moved, 1);
  return used;
}

namespace {

SearchLaunch threads_for(SearchKernel kernel, long long items)
{
  const long long blocks = std::max(1LL, (items + plain_threads - 1) / plain_threads);
  return {kernel, 0, static_cast<unsigned>(blocks), plain_threads};
}

SearchLaunch sums_of(SearchPart part)
{
  return {SearchKernel::add_up, part, 1, sum_threads};
}

}  // namespace

std::vector<SearchLaunch> plan_search(const Search &search)
{
  using enum SearchKernel;
  const long long atoms = search.atoms, cells = static_cast<long long>(search.cells[0]) * search.cells[1] * search.cells[2],
                  rows = search.most_rows, edges = search.most_edges;
  return {threads_for(clear_search, std::max({cells, atoms * search.shifts, rows}) + 1),
          threads_for(wrap_atoms, atoms),
          threads_for(count_cells, atoms),
          sums_of(of_cells),
          threads_for(fill_cells, atoms),
          threads_for(sort_cells, cells),
          threads_for(count_edges, atoms),
          sums_of(of_edges),
          sums_of(of_images),
          threads_for(take_counts, 1),
          threads_for(fill_images, atoms + 1),
          threads_for(fill_edges, atoms),
          sums_of(of_back),
          threads_for(fill_back, edges),
          threads_for(sort_back, rows),
          threads_for(place_rows, rows)};
}

std::vector<SearchLaunch> plan_move(const Search &search)
{
  return {threads_for(SearchKernel::place_rows, search.most_rows), threads_for(SearchKernel::watch_atoms, search.atoms)};
}

}  // namespace transip::cuda
