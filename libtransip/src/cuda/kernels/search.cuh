// Kernels of the search for neighbours. Integers alone are added by atomic operations: their sums have no order.
#pragma once

#include "base.cuh"
#include "search.h"

namespace transip::cuda {

__device__ __forceinline__ int thread_here()
{
  return blockIdx.x * blockDim.x + threadIdx.x;
}

/// Part of what is allowed at which neighbours are sought before the next step, so that few steps have to be repeated.
constexpr double early = 0.9;

/// The cells of all structures; some may belong to none.
__device__ __forceinline__ int all_cells(const Search &search)
{
  const int last = search.structures - 1;
  const SearchGrid &grid = search.grid[last];
  return search.box[last].first_cell + grid.cells[0] * grid.cells[1] * grid.cells[2];
}

/// The structure of an atom, and of the token of this number: the tokens of a structure have the numbers of its atoms.
__device__ __forceinline__ int structure_of(const Search &search, int i)
{
  return search.structures == 1 ? 0 : search.structure[i];
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
  if (i <= search.most_cells) search.cell_first[i] = search.cell_next[i] = 0;
  for (int number = 0; i < search.atoms && number < search.most_shifts; number++)
    search.seen[static_cast<long long>(number) * search.atoms + i] = 0;
  if (i <= search.most_rows) search.lists.back_first[i] = search.back_next[i] = 0;
  if (i == 0) *search.moved = *search.moved_far = 0;
}

/// Place of an atom along vector a of its box; see SearchBox.
__device__ __forceinline__ double along_vector(const Search &search, const SearchBox &box, int i, int a)
{
  double along = 0.0;
  for (int x = 0; x < 3; x++) along += search.atom[3 * i + x] * box.inverse[3 * x + a];
  return along;
}

/// Cells along vectors that are not periodic, which reach from the first atom to the last. A block takes a structure.
__device__ __forceinline__ void measure_box(const Search &search, int)
{
  TRANSIP_SHARED(double, ends, 2 * sum_threads / warp_size);
  SearchGrid grid;
  const SearchBox &box = search.box[blockIdx.x];
  grid.shifts = 1;
  for (int a = 0; a < 3; a++) {
    grid.periodic[a] = box.periodic[a];
    grid.cells[a] = box.cells[a];
    grid.spread[a] = box.spread[a];
    grid.images[a] = box.images[a];
    grid.shifts *= 2 * box.images[a] + 1;
    grid.start[a] = 0.0;
    grid.extent[a] = 1.0;
    if (box.periodic[a]) continue;
    double low = 1e300, high = -1e300;
    for (int i = threadIdx.x; i < box.atoms; i += sum_threads) {
      const double along = along_vector(search, box, box.first_atom + i, a);
      low = along < low ? along : low;
      high = along > high ? along : high;
    }
    for (int bit = 1; bit < warp_size; bit *= 2) {
      const double other_low = __shfl_xor_sync(all_lanes, low, bit), other_high = __shfl_xor_sync(all_lanes, high, bit);
      low = other_low < low ? other_low : low;
      high = other_high > high ? other_high : high;
    }
    if (lane_here() == 0) {
      ends[2 * (threadIdx.x / warp_size)] = low;
      ends[2 * (threadIdx.x / warp_size) + 1] = high;
    }
    __syncthreads();
    for (int other = 0; other < sum_threads / warp_size; other++) {
      low = ends[2 * other] < low ? ends[2 * other] : low;
      high = ends[2 * other + 1] > high ? ends[2 * other + 1] : high;
    }
    __syncthreads();
    // Without atoms, or with places that are no numbers, one cell does as well as any.
    const double length = high - low;
    grid.start[a] = length >= 0.0 ? low : 0.0;
    grid.extent[a] = length > search.reach ? length : search.reach;
    grid.cells[a] = length < 1e6 * search.reach ? static_cast<int>(grid.extent[a] / search.reach) : 1;
  }
  // Fewer and wider cells where there are more than there is room for.
  while (static_cast<long long>(grid.cells[0]) * grid.cells[1] * grid.cells[2] > box.most_cells) {
    int widest = -1;
    for (int a = 0; a < 3; a++)
      if (!grid.periodic[a] && (widest < 0 || grid.cells[a] > grid.cells[widest])) widest = a;
    grid.cells[widest] = (grid.cells[widest] + 1) / 2;
  }
  if (threadIdx.x == 0) search.grid[blockIdx.x] = grid;
}

/// Atoms into the box, and their cells. A thread takes an atom.
__device__ __forceinline__ void wrap_atoms(const Search &search, int)
{
  const int i = thread_here();
  if (i >= search.atoms) return;
  const int structure = structure_of(search, i);
  const SearchBox &box = search.box[structure];
  const SearchGrid &grid = search.grid[structure];
  int cell = 0;
  for (int a = 0; a < 3; a++) {
    double along = along_vector(search, box, i, a), boxes = 0.0;
    if (grid.periodic[a]) {
      boxes = floor(along);
      along -= boxes;
    }
    // So that what is no number, or beyond all numbers, is an integer all the same.
    boxes = boxes > -1e9 && boxes < 1e9 ? boxes : 0.0;
    search.boxes[3 * i + a] = -static_cast<int>(boxes);
    const double of_cells = (along - grid.start[a]) / grid.extent[a] * grid.cells[a];
    // Rounding may put an atom onto the far side.
    const int here = of_cells > 0.0 ? of_cells < grid.cells[a] ? static_cast<int>(of_cells) : grid.cells[a] - 1 : 0;
    cell = cell * grid.cells[a] + here;
  }
  search.cell_of[i] = box.first_cell + cell;
}

__device__ __forceinline__ void count_cells(const Search &search, int)
{
  const int i = thread_here();
  if (i < search.atoms) atomicAdd(&search.cell_first[search.cell_of[i]], 1);
}

/// Running sums in place: each number becomes the sum of those before it, and behind the last comes the sum of all. One
/// block.
__device__ __forceinline__ void add_up(const Search &search, int part)
{
  TRANSIP_SHARED(int, sums, sum_threads / warp_size);
  if (part == of_back && !has_room(search)) return;
  int *const array = part == of_cells ? search.cell_first
      : part == of_edges              ? search.lists.first
      : part == of_images             ? search.lists.image_first
                                      : search.lists.back_first;
  const int count = part == of_cells ? all_cells(search) : part == of_back ? search.needed->rows : search.atoms;
  const int me = threadIdx.x, warp = me / warp_size, lane = lane_here();
  int before = 0;
  for (int start = 0; start < count; start += sum_threads) {
    const int i = start + me, here = i < count ? array[i] : 0;
    int sum = here;
#pragma unroll
    for (int by = 1; by < warp_size; by *= 2) {
      const int lower = __shfl_up_sync(all_lanes, sum, by);
      if (lane >= by) sum += lower;
    }
    if (lane == warp_size - 1) sums[warp] = sum;
    __syncthreads();
    int whole = 0;
    for (int other = 0; other < sum_threads / warp_size; other++) {
      if (other < warp) sum += sums[other];
      whole += sums[other];
    }
    if (i < count) array[i] = before + sum - here;
    before += whole;
    __syncthreads();
  }
  if (me == 0) array[count] = before;
}

__device__ __forceinline__ void fill_cells(const Search &search, int)
{
  const int i = thread_here();
  if (i >= search.atoms) return;
  const int cell = search.cell_of[i];
  search.order[search.cell_first[cell] + atomicAdd(&search.cell_next[cell], 1)] = i;
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
  if (cell < all_cells(search))
    sort_few(search.order + search.cell_first[cell], search.cell_first[cell + 1] - search.cell_first[cell]);
}

/// Where a token is now, Angstrom: its atom, moved into the box as it was when neighbours were sought.
__device__ __forceinline__ void place_token(const Search &search, int t, double (&place)[3])
{
  const int i = search.order[t];
  const double *vectors = search.box[structure_of(search, t)].vectors;
  for (int x = 0; x < 3; x++) {
    place[x] = search.atom[3 * i + x];
    for (int a = 0; a < 3; a++) place[x] += search.boxes[3 * i + a] * vectors[3 * a + x];
  }
}

/// Tokens in the order of the cells. A thread takes a token.
__device__ __forceinline__ void order_tokens(const Search &search, int)
{
  const int t = thread_here();
  if (t >= search.atoms) return;
  const int i = search.order[t];
  double place[3];
  place_token(search, t, place);
  for (int x = 0; x < 3; x++) search.place_then[3 * t + x] = place[x];
  search.token_cell[t] = search.cell_of[i];
  search.lists.species[t] = search.atom_species[i];
}

/// Cell `cell` of those along axis a, and which box it lies in.
__device__ __forceinline__ bool within_box(const SearchGrid &grid, int a, int &cell, int &box)
{
  box = 0;
  const int count = grid.cells[a];
  if (cell >= 0 && cell < count) return true;
  if (!grid.periodic[a]) return false;
  box = cell < 0 ? -((count - 1 - cell) / count) : cell / count;
  cell -= box * count;
  return true;
}

/// visit(j, number, own) for every token, or image of one, within reach of a token; `number` is that of the image's box,
/// `own` whether it is no image.
template <class Visit> __device__ __forceinline__ void for_neighbours(const Search &search, int t, const Visit &visit)
{
  const int structure = structure_of(search, t), first_cell = search.box[structure].first_cell;
  const SearchGrid &grid = search.grid[structure];
  const double *v = search.box[structure].vectors;
  const int cell = search.token_cell[t] - first_cell, here[3] = {cell / (grid.cells[1] * grid.cells[2]),
                                                    cell / grid.cells[2] % grid.cells[1], cell % grid.cells[2]};
  const double reach = search.reach * search.reach, x = search.place_then[3 * t], y = search.place_then[3 * t + 1],
               z = search.place_then[3 * t + 2];
  int at[3], box[3], to[3];
  for (at[0] = -grid.spread[0]; at[0] <= grid.spread[0]; at[0]++)
    for (at[1] = -grid.spread[1]; at[1] <= grid.spread[1]; at[1]++)
      for (at[2] = -grid.spread[2]; at[2] <= grid.spread[2]; at[2]++) {
        bool there = true;
        int other = 0, number = 0;
        for (int a = 0; a < 3; a++) {
          to[a] = here[a] + at[a];
          there = within_box(grid, a, to[a], box[a]) && there;
          other = other * grid.cells[a] + to[a];
          number = number * (2 * grid.images[a] + 1) + box[a] + grid.images[a];
        }
        if (!there) continue;
        other += first_cell;
        const bool own = box[0] == 0 && box[1] == 0 && box[2] == 0;
        const double shift_x = box[0] * v[0] + box[1] * v[3] + box[2] * v[6],
                     shift_y = box[0] * v[1] + box[1] * v[4] + box[2] * v[7],
                     shift_z = box[0] * v[2] + box[1] * v[5] + box[2] * v[8];
        for (int j = search.cell_first[other]; j < search.cell_first[other + 1]; j++) {
          if (own && j == t) continue;
          const double dx = search.place_then[3 * j] + shift_x - x, dy = search.place_then[3 * j + 1] + shift_y - y,
                       dz = search.place_then[3 * j + 2] + shift_z - z;
          if (dx * dx + dy * dy + dz * dz < reach) visit(j, number, own);
        }
      }
}

/// Neighbours of each token, and which images are seen. A thread takes a token.
__device__ __forceinline__ void count_edges(const Search &search, int)
{
  const int t = thread_here();
  if (t >= search.atoms) return;
  int count = 0;
  for_neighbours(search, t, [&](int j, int number, bool own) {
    count++;
    if (!own) atomicExch(&search.seen[static_cast<long long>(j) * search.most_shifts + number], 1);
  });
  search.lists.first[t] = count;
}

/// How many images of each token are seen. A thread takes a token.
__device__ __forceinline__ void count_images(const Search &search, int)
{
  const int t = thread_here();
  if (t >= search.atoms) return;
  const int *seen = search.seen + static_cast<long long>(t) * search.most_shifts;
  const int shifts = search.grid[structure_of(search, t)].shifts;
  int count = 0;
  for (int number = 0; number < shifts; number++) count += seen[number];
  search.lists.image_first[t] = count;
}

/// What the lists take, and what a step has to do: nothing where they have no room. One thread.
__device__ __forceinline__ void take_counts(const Search &search, int)
{
  if (thread_here() != 0) return;
  *search.needed = {search.atoms, search.atoms + search.lists.image_first[search.atoms],
                    search.lists.first[search.atoms]};
  *search.lists.counts = has_room(search) ? *search.needed : Counts{0, 0, 0};
}

/// Owners of all rows, and boxes of the images. A thread takes a token.
__device__ __forceinline__ void fill_images(const Search &search, int)
{
  const int t = thread_here();
  if (t >= search.atoms || !has_room(search)) return;
  const int shifts = search.grid[structure_of(search, t)].shifts;
  search.lists.owner[t] = t;
  int image = search.lists.image_first[t];
  for (int number = 0; number < shifts; number++) {
    int &seen = search.seen[static_cast<long long>(t) * search.most_shifts + number];
    if (!seen) continue;
    seen = image;
    search.lists.owner[search.atoms + image] = t;
    search.lists.image_row[image] = search.atoms + image;
    search.image_shift[image] = number;
    image++;
  }
}

/// Edges by their tokens; how many lead to each row. A thread takes a token.
__device__ __forceinline__ void fill_edges(const Search &search, int)
{
  const int t = thread_here();
  if (t >= search.atoms || !has_room(search)) return;
  int e = search.lists.first[t];
  for_neighbours(search, t, [&](int j, int number, bool own) {
    const int row = own ? j : search.atoms + search.seen[static_cast<long long>(j) * search.most_shifts + number];
    search.lists.row[e] = row;
    search.edge_token[e] = t;
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

/// The lists of a model that attends all-to-all: every token sees every other, and there are no images. A thread takes a
/// token.
__device__ __forceinline__ void pair_all(const Search &search, int)
{
  const int t = thread_here(), others = search.atoms - 1;
  if (t == 0) {
    *search.needed = {search.atoms, search.atoms, search.atoms * (search.atoms > 0 ? others : 0)};
    *search.lists.counts = search.needed->edges <= search.most_edges ? *search.needed : Counts{0, 0, 0};
    *search.moved = *search.moved_far = 0;
    search.lists.first[0] = search.lists.back_first[0] = search.lists.image_first[0] = 0;
  }
  if (t >= search.atoms) return;
  search.order[t] = search.lists.owner[t] = t;
  search.lists.species[t] = search.atom_species[t];
  search.lists.image_first[t + 1] = 0;
  for (int a = 0; a < 3; a++) search.boxes[3 * t + a] = 0;
  const int start = t * others;
  if (search.atoms * others > search.most_edges) return;
  search.lists.first[t + 1] = search.lists.back_first[t + 1] = start + others;
  for (int n = 0; n < others; n++) {
    const int other = n < t ? n : n + 1;
    search.lists.row[start + n] = other;
    search.lists.back_edge[start + n] = other * others + (t < other ? t : t - 1);
    search.lists.back_token[start + n] = other;
  }
}

/// Places of all rows now, by the lists that there are. A thread takes a row.
__device__ __forceinline__ void place_rows(const Search &search, int)
{
  const int row = thread_here();
  if (row >= search.lists.counts->rows) return;
  double place[3];
  const int owner = search.lists.owner[row];
  place_token(search, owner, place);
  if (row >= search.atoms) {
    const int structure = structure_of(search, owner);
    const double *vectors = search.box[structure].vectors;
    int number = search.image_shift[row - search.atoms];
    for (int a = 2; a >= 0; a--) {
      const int images = search.grid[structure].images[a], range = 2 * images + 1, box = number % range - images;
      number /= range;
      for (int x = 0; x < 3; x++) place[x] += box * vectors[3 * a + x];
    }
  }
  for (int x = 0; x < 3; x++) search.lists.positions[3 * static_cast<long long>(row) + x] = place[x];
}

/// Whether the lists may miss a neighbour, or soon will. A thread takes a token.
__device__ __forceinline__ void watch_tokens(const Search &search, int)
{
  const int t = thread_here();
  if (t >= search.lists.counts->tokens) return;
  double place[3], square = 0.0;
  place_token(search, t, place);
  for (int x = 0; x < 3; x++) {
    const double by = place[x] - search.place_then[3 * t + x];
    square += by * by;
  }
  const double most = search.box[structure_of(search, t)].allowed, allowed = most * most;
  // Not a number counts as moved.
  if (!(square < early * early * allowed)) atomicExch(search.moved, 1);
  if (!(square < allowed)) atomicExch(search.moved_far, 1);
}

}  // namespace transip::cuda
