// Kernels of the search for neighbours. Integers alone are added by atomic operations: their sums have no order.
#pragma once

#include "base.cuh"
#include "search.h"

namespace transip::cuda {

__device__ __forceinline__ int thread_here()
{
  return blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ int cells_of(const Search &search)
{
  return search.cells[0] * search.cells[1] * search.cells[2];
}

/// Whether the lists have room; where they have not, the host makes more and begins anew.
__device__ __forceinline__ bool has_room(const Search &search)
{
  return search.needed->rows <= search.most_rows && search.needed->edges <= search.most_edges;
}

/// Zeros where numbers are counted. A thread takes a place of each array.
__device__ __forceinline__ void clear_search(const Search &search, int)
{
  const int i = thread_here();
  if (i <= cells_of(search)) search.cell_first[i] = search.cell_next[i] = 0;
  if (i <= search.atoms * search.shifts) search.seen[i] = 0;
  if (i <= search.most_rows) search.lists.back_first[i] = search.back_next[i] = 0;
  if (i == 0) *search.moved = 0;
}

/// Atoms into the box, and their cells. A thread takes an atom.
__device__ __forceinline__ void wrap_atoms(const Search &search, int)
{
  const int i = thread_here();
  if (i >= search.atoms) return;
  double place[3], shift[3] = {0.0, 0.0, 0.0};
  int cell = 0;
  for (int x = 0; x < 3; x++) {
    place[x] = search.atom[3 * i + x];
    search.atom_then[3 * i + x] = place[x];
  }
  for (int a = 0; a < 3; a++) {
    double along = 0.0;
    for (int x = 0; x < 3; x++) along += (place[x] - search.origin[x]) * search.inverse[3 * x + a];
    if (search.periodic) {
      const double boxes = floor(along);
      along -= boxes;
      for (int x = 0; x < 3; x++) shift[x] -= boxes * search.box[3 * a + x];
    }
    // Rounding may put an atom onto the far side; without periods some may have left the box.
    int here = static_cast<int>(floor(along * search.cells[a]));
    here = here < 0 ? 0 : here >= search.cells[a] ? search.cells[a] - 1 : here;
    cell = cell * search.cells[a] + here;
  }
  for (int x = 0; x < 3; x++) {
    search.wrap[3 * i + x] = shift[x];
    search.wrapped[3 * i + x] = place[x] + shift[x];
  }
  search.cell_of[i] = cell;
}

__device__ __forceinline__ void count_cells(const Search &search, int)
{
  const int i = thread_here();
  if (i < search.atoms) atomicAdd(&search.cell_first[search.cell_of[i]], 1);
}

/// Running sums in place: each number becomes the sum of those before it, the last one the sum of all. One block.
__device__ __forceinline__ void add_up(const Search &search, int part)
{
  TRANSIP_SHARED(int, sums, sum_threads);
  if ((part == of_back) && !has_room(search)) return;
  int *const array = part == of_cells ? search.cell_first
      : part == of_edges              ? search.lists.first
      : part == of_images             ? search.seen
                                      : search.lists.back_first;
  const int count = part == of_cells ? cells_of(search)
      : part == of_edges             ? search.atoms
      : part == of_images            ? search.atoms * search.shifts
                                     : search.needed->rows;
  const int each = (count + sum_threads - 1) / sum_threads, me = threadIdx.x;
  const int from = me * each < count ? me * each : count, to = from + each < count ? from + each : count;
  int sum = 0;
  for (int i = from; i < to; i++) sum += array[i];
  sums[me] = sum;
  __syncthreads();
  int before = 0;
  for (int other = 0; other < me; other++) before += sums[other];
  for (int i = from; i < to; i++) {
    const int here = array[i];
    array[i] = before;
    before += here;
  }
  if (me == sum_threads - 1) array[count] = before;
}

__device__ __forceinline__ void fill_cells(const Search &search, int)
{
  const int i = thread_here();
  if (i >= search.atoms) return;
  const int cell = search.cell_of[i];
  search.cell_atom[search.cell_first[cell] + atomicAdd(&search.cell_next[cell], 1)] = i;
}

/// Sort a few numbers, ascending.
__device__ __forceinline__ void sort_few(int *numbers, int count)
{
  for (int i = 1; i < count; i++) {
    const int number = numbers[i];
    int place = i;
    for (; place > 0 && numbers[place - 1] > number; place--) numbers[place] = numbers[place - 1];
    numbers[place] = number;
  }
}

__device__ __forceinline__ void sort_cells(const Search &search, int)
{
  const int cell = thread_here();
  if (cell < cells_of(search))
    sort_few(search.cell_atom + search.cell_first[cell], search.cell_first[cell + 1] - search.cell_first[cell]);
}

/// Cell `cell` of those along axis a, and which box it lies in.
__device__ __forceinline__ bool within_box(const Search &search, int a, int &cell, int &box)
{
  box = 0;
  const int count = search.cells[a];
  if (cell >= 0 && cell < count) return true;
  if (!search.periodic) return false;
  box = cell < 0 ? -((count - 1 - cell) / count) : cell / count;
  cell -= box * count;
  return true;
}

/// visit(j, number) for every atom, or image, within reach of an atom; the number is that of the box, `own` for its own.
template <class Visit> __device__ __forceinline__ void for_neighbours(const Search &search, int i, const Visit &visit)
{
  const int cell = search.cell_of[i], here[3] = {cell / (search.cells[1] * search.cells[2]),
                                                 cell / search.cells[2] % search.cells[1], cell % search.cells[2]};
  const double reach = search.reach * search.reach;
  int at[3], box[3], to[3];
  for (at[0] = -search.spread[0]; at[0] <= search.spread[0]; at[0]++)
    for (at[1] = -search.spread[1]; at[1] <= search.spread[1]; at[1]++)
      for (at[2] = -search.spread[2]; at[2] <= search.spread[2]; at[2]++) {
        bool there = true;
        int other = 0, number = 0;
        for (int a = 0; a < 3; a++) {
          to[a] = here[a] + at[a];
          there = within_box(search, a, to[a], box[a]) && there;
          other = other * search.cells[a] + to[a];
          number = number * (2 * search.images[a] + 1) + box[a] + search.images[a];
        }
        if (!there) continue;
        const bool own = box[0] == 0 && box[1] == 0 && box[2] == 0;
        for (int n = search.cell_first[other]; n < search.cell_first[other + 1]; n++) {
          const int j = search.cell_atom[n];
          if (own && j == i) continue;
          double square = 0.0;
          for (int x = 0; x < 3; x++) {
            const double place = search.wrapped[3 * j + x] + box[0] * search.box[x] + box[1] * search.box[3 + x] +
                box[2] * search.box[6 + x];
            const double along = place - search.wrapped[3 * i + x];
            square += along * along;
          }
          if (square < reach) visit(j, number, own);
        }
      }
}

/// Neighbours of each atom, and which images are seen. A thread takes an atom.
__device__ __forceinline__ void count_edges(const Search &search, int)
{
  const int i = thread_here();
  if (i >= search.atoms) return;
  int count = 0;
  for_neighbours(search, i, [&](int j, int number, bool own) {
    count++;
    if (!own) atomicExch(&search.seen[j * search.shifts + number], 1);
  });
  search.lists.first[i] = count;
}

/// What the lists take. One thread.
__device__ __forceinline__ void take_counts(const Search &search, int)
{
  if (thread_here() != 0) return;
  *search.needed = {search.atoms, search.atoms + search.seen[search.atoms * search.shifts],
                    search.lists.first[search.atoms]};
  *search.lists.counts = *search.needed;
}

/// Owners of all rows, and boxes of the images. A thread takes an atom.
__device__ __forceinline__ void fill_images(const Search &search, int)
{
  const int i = thread_here();
  if (i > search.atoms || !has_room(search)) return;
  search.lists.image_first[i] = search.seen[i * search.shifts];
  if (i == search.atoms) return;
  search.lists.owner[i] = i;
  for (int number = 0; number < search.shifts; number++) {
    const int image = search.seen[i * search.shifts + number];
    if (search.seen[i * search.shifts + number + 1] == image) continue;
    search.lists.owner[search.atoms + image] = i;
    search.lists.image_row[image] = search.atoms + image;
    search.image_shift[image] = number;
  }
}

/// Edges by their tokens; how many lead to each row. A thread takes an atom.
__device__ __forceinline__ void fill_edges(const Search &search, int)
{
  const int i = thread_here();
  if (i >= search.atoms || !has_room(search)) return;
  int e = search.lists.first[i];
  for_neighbours(search, i, [&](int j, int number, bool own) {
    const int row = own ? j : search.atoms + search.seen[j * search.shifts + number];
    search.lists.row[e] = row;
    search.edge_token[e] = i;
    atomicAdd(&search.lists.back_first[row], 1);
    e++;
  });
}

/// Edges by their rows, in any order. A thread takes an edge.
__device__ __forceinline__ void fill_back(const Search &search, int)
{
  const int e = thread_here();
  if (!has_room(search) || e >= search.needed->edges) return;
  const int row = search.lists.row[e];
  search.lists.back_edge[search.lists.back_first[row] + atomicAdd(&search.back_next[row], 1)] = e;
}

/// Edges to a row in their order, and their tokens. A thread takes a row.
__device__ __forceinline__ void sort_back(const Search &search, int)
{
  const int row = thread_here();
  if (!has_room(search) || row >= search.needed->rows) return;
  const int first = search.lists.back_first[row], end = search.lists.back_first[row + 1];
  sort_few(search.lists.back_edge + first, end - first);
  for (int n = first; n < end; n++) search.lists.back_token[n] = search.edge_token[search.lists.back_edge[n]];
}

/// Places of all rows now, by the lists that there are. A thread takes a row.
__device__ __forceinline__ void place_rows(const Search &search, int)
{
  const int row = thread_here();
  if (!has_room(search) || row >= search.needed->rows) return;
  const int i = search.lists.owner[row];
  double place[3];
  for (int x = 0; x < 3; x++) place[x] = search.atom[3 * i + x] + search.wrap[3 * i + x];
  if (row >= search.atoms) {
    int number = search.image_shift[row - search.atoms];
    for (int a = 2; a >= 0; a--) {
      const int range = 2 * search.images[a] + 1, box = number % range - search.images[a];
      number /= range;
      for (int x = 0; x < 3; x++) place[x] += box * search.box[3 * a + x];
    }
  }
  for (int x = 0; x < 3; x++) search.lists.positions[3 * static_cast<long long>(row) + x] = place[x];
}

/// Whether the lists may miss a neighbour. A thread takes an atom.
__device__ __forceinline__ void watch_atoms(const Search &search, int)
{
  const int i = thread_here();
  if (i >= search.atoms) return;
  double square = 0.0;
  for (int x = 0; x < 3; x++) {
    const double by = search.atom[3 * i + x] - search.atom_then[3 * i + x];
    square += by * by;
  }
  // Not a number counts as moved.
  if (!(square < 0.25 * search.skin * search.skin)) atomicExch(search.moved, 1);
}

}  // namespace transip::cuda
