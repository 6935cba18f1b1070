#include "search_plan.h"

#include "arrays.h"
#include "neighbours/box_basis.h"
#include "transip/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace transip::cuda {

namespace {

constexpr int most_along = 128;  // cells along one vector
constexpr double most_images = 1e6;

void divide(SearchBox &made, const std::array<double, 3> &height, double reach, int atoms)
{
  for (std::size_t a = 0; a < 3; a++)
    made.cells[a] =
        made.periodic[a] ? static_cast<int>(std::clamp(std::floor(height[a] / reach), 1.0, double{most_along})) : 1;
  while (made.cells[0] * made.cells[1] * made.cells[2] > most_cells(atoms)) {
    int &largest = *std::max_element(made.cells, made.cells + 3);
    largest = (largest + 1) / 2;
  }
  double shifts = 1.0;
  for (std::size_t a = 0; a < 3; a++) {
    made.spread[a] = 1;
    if (!made.periodic[a]) continue;
    // A little more than the reach, for the rounding of places in cells.
    const double away = std::floor(1.000001 * reach * made.cells[a] / height[a]) + 1.0;
    const double images = std::ceil(away / made.cells[a]);
    shifts *= 2.0 * images + 1.0;
    if (!(shifts < most_images))
      throw Error("The box is only " + std::to_string(height[a]) + " Angstrom high; within " + std::to_string(reach) +
                  " Angstrom an atom would see too many images.");
    made.spread[a] = static_cast<int>(away);
    made.images[a] = static_cast<int>(images);
  }
}

}  // namespace

int most_cells(int atoms)
{
  return std::max(27, 2 * atoms);
}

SearchBox make_search_box(const Periodicity &box, double reach, double skin, int atoms)
{
  SearchBox made{};
  const BoxBasis basis = basis_of(box.vectors, box.periodic);
  for (std::size_t a = 0; a < 3; a++) {
    made.periodic[a] = box.periodic[a] ? 1 : 0;
    for (std::size_t x = 0; x < 3; x++) {
      made.vectors[3 * a + x] = basis.vectors[a][x];
      made.inverse[3 * x + a] = basis.dual[a][x];
    }
  }
  divide(made, basis.height, reach, atoms);
  made.allowed = 0.5 * skin;
  made.atoms = atoms;
  made.most_cells = most_cells(atoms);
  return made;
}

int shifts_of(const SearchBox &box)
{
  return (2 * box.images[0] + 1) * (2 * box.images[1] + 1) * (2 * box.images[2] + 1);
}

std::size_t place_search(Search &search, std::byte *start)
{
  const long long atoms = search.atoms, rows = search.most_rows, edges = search.most_edges, cells = search.most_cells;
  Parts parts(start);
  parts.place(search.grid, search.structures);
  parts.place(search.place_then, 3 * atoms);
  parts.place(search.boxes, 3 * atoms);
  for (int **array : {&search.cell_of, &search.order, &search.token_cell}) parts.place(*array, atoms);
  for (int **array : {&search.cell_first, &search.cell_next}) parts.place(*array, cells + 1);
  parts.place(search.seen, atoms * search.most_shifts);
  parts.place(search.image_shift, rows);
  parts.place(search.edge_token, edges);
  parts.place(search.back_next, rows + 1);
  parts.place(search.needed, 1);
  for (int **array : {&search.moved, &search.moved_far}) parts.place(*array, 1);
  return parts.used();
}

namespace {

Launch threads_for(SearchKernel kernel, long long items)
{
  return {static_cast<int>(kernel), 0, blocks_for(items, plain_threads), 1, plain_threads};
}

Launch one_block(SearchKernel kernel, int part)
{
  return {static_cast<int>(kernel), part, 1, 1, sum_threads};
}

}  // namespace

std::vector<Launch> plan_search(const Search &search, bool local)
{
  using enum SearchKernel;
  const long long atoms = search.atoms, cells = search.most_cells, rows = search.most_rows, edges = search.most_edges;
  if (!local) return {threads_for(pair_all, atoms)};
  return {threads_for(clear_search, std::max({cells, atoms, rows}) + 1),
          {static_cast<int>(measure_box), 0, static_cast<unsigned>(search.structures), 1, sum_threads},
          threads_for(wrap_atoms, atoms),
          threads_for(count_cells, atoms),
          one_block(add_up, of_cells),
          threads_for(fill_cells, atoms),
          threads_for(sort_cells, cells),
          threads_for(order_tokens, atoms),
          threads_for(count_edges, atoms),
          threads_for(count_images, atoms),
          one_block(add_up, of_edges),
          one_block(add_up, of_images),
          threads_for(take_counts, 1),
          threads_for(fill_images, atoms),
          threads_for(fill_edges, atoms),
          one_block(add_up, of_back),
          threads_for(fill_back, edges),
          threads_for(sort_back, rows)};
}

std::vector<Launch> plan_move(const Search &search, bool local)
{
  std::vector<Launch> launches{threads_for(SearchKernel::place_rows, search.most_rows)};
  if (local) launches.push_back(threads_for(SearchKernel::watch_tokens, search.atoms));
  return launches;
}

}  // namespace transip::cuda
