#include "image_search.h"

#include "box_basis.h"
#include "transip/error.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <new>
#include <string>

namespace transip {

namespace {

constexpr double most_boxes = 1.0e5, most_images = 1.0e6;
/// What bounds are widened by, for the rounding of places in cells and boxes.
constexpr double wider = 1.0 + 1.0e-9;
/// Atoms of a part, and as few as are not worth waking a thread for.
constexpr std::size_t atoms_of_part = 16, few_atoms = 100;

/// A shift by whole box vectors as one number: the sum of shifts is the sum of their numbers, and their order is that of
/// the components, one after another.
constexpr std::int64_t digit = std::int64_t{1} << 21;

std::int64_t number_of(std::int64_t a, std::int64_t b, std::int64_t c)
{
  return (a * digit + b) * digit + c;
}

std::array<std::int64_t, 3> components(std::int64_t number)
{
  const auto take_last = [&number] {
    const std::int64_t last = ((number + digit / 2) & (digit - 1)) - digit / 2;
    number = (number - last) / digit;
    return last;
  };
  const std::int64_t c = take_last(), b = take_last();
  return {number, b, c};
}

/// Run work(part, number of the thread) on all parts.
template <typename Work> void for_parts(native::Workers *workers, std::size_t parts, Work work)
{
  if (!workers) {
    for (std::size_t part = 0; part < parts; part++) work(part, 0);
    return;
  }
  std::atomic<bool> failed = false;
  const auto guarded = [&](std::int64_t part, int worker) {
    try {
      work(static_cast<std::size_t>(part), static_cast<std::size_t>(worker));
    } catch (const std::exception &) {
      failed = true;
    }
  };
  const auto call = [](void *context, std::int64_t part, int worker) {
    (*static_cast<decltype(guarded) *>(context))(part, worker);
  };
  workers->run(static_cast<std::int64_t>(parts), call, const_cast<void *>(static_cast<const void *>(&guarded)));
  if (failed) throw std::bad_alloc();
}

/// Append the numbers of `found` in order: sorting by bits takes a quarter of the time that comparisons take.
void append_sorted(std::span<const std::int32_t> found, std::vector<std::uint64_t> &bits, std::vector<std::uint64_t> &of_bits,
                   std::vector<std::int32_t> &to)
{
  for (const std::int32_t number : found) {
    const auto place = static_cast<std::size_t>(number);
    bits[place / 64] |= std::uint64_t{1} << place % 64;
    of_bits[place / 4096] |= std::uint64_t{1} << place / 64 % 64;
  }
  const std::size_t before = to.size();
  to.resize(before + found.size());
  std::int32_t *next = to.data() + before;
  for (std::size_t many = 0; many < of_bits.size(); many++)
    for (; of_bits[many]; of_bits[many] &= of_bits[many] - 1) {
      const std::size_t some = 64 * many + static_cast<std::size_t>(std::countr_zero(of_bits[many]));
      for (; bits[some]; bits[some] &= bits[some] - 1)
        *next++ = static_cast<std::int32_t>(64 * some + static_cast<std::size_t>(std::countr_zero(bits[some])));
    }
}

/// How far a place is from a layer of the grid.
double gap(double place, double start, double edge, std::int64_t layer)
{
  const double left = start + edge * static_cast<double>(layer);
  return std::max({0.0, left - place, place - left - edge});
}

}  // namespace

void ImageSearch::find(std::span<const double> atoms, const std::array<double, 9> &box,
                       const std::array<bool, 3> &periodic, double radius, native::Workers *workers)
{
  const std::size_t count = atoms.size() / 3;
  if (count < few_atoms || (workers && workers->count() < 2)) workers = nullptr;
  make_copies(atoms, box, periodic, radius);
  fill_cells(radius);

  std::size_t of_part = atoms_of_part;
  if (workers) of_part = std::max(of_part, count / static_cast<std::size_t>(workers->most_parts()) + 1);
  parts_.resize((count + of_part - 1) / of_part);
  const auto for_atoms = [&](std::size_t part, auto work) {
    for (std::size_t i = part * of_part; i < std::min(count, (part + 1) * of_part); i++) work(i);
  };
  first.assign(count + 1, 0);
  first_image_.assign(count + 1, 0);
  scratch_.resize(workers ? static_cast<std::size_t>(workers->count()) : 1);
  for (Scratch &scratch : scratch_) {
    scratch.bits.assign(atom_of_.size() / 64 + 1, 0);
    scratch.of_bits.assign(atom_of_.size() / 4096 + 1, 0);
  }
  for_parts(workers, parts_.size(), [&](std::size_t place, std::size_t worker) {
    Part &part = parts_[place];
    part.numbers.clear();
    part.images.clear();
    for_atoms(place, [&](std::size_t i) {
      const std::size_t before = part.numbers.size(), images = part.images.size();
      look_around(i, radius, scratch_[worker], part);
      first[i + 1] = static_cast<std::int64_t>(part.numbers.size() - before);
      find_images(i, before, part);
      first_image_[i + 1] = static_cast<std::int64_t>(part.images.size() - images);
    });
  });
  for (std::size_t i = 0; i < count; i++) {
    first[i + 1] += first[i];
    first_image_[i + 1] += first_image_[i];
  }
  image_shifts_.clear();
  for (const Part &part : parts_) image_shifts_.insert(image_shifts_.end(), part.images.begin(), part.images.end());
  place_images(box);
  neighbours.resize(static_cast<std::size_t>(first[count]));
  for_parts(workers, parts_.size(), [&](std::size_t place, std::size_t) {
    const std::int32_t *numbers = parts_[place].numbers.data();
    for_atoms(place, [&](std::size_t i) {
      place_neighbours(i, numbers);
      numbers += first[i + 1] - first[i];
    });
  });
}

/// Copies of the wrapped atoms, as far as the radius reaches around them.
void ImageSearch::make_copies(std::span<const double> atoms, const std::array<double, 9> &box,
                              const std::array<bool, 3> &periodic, double radius)
{
  const std::size_t count = atoms.size() / 3;
  const BoxBasis basis = basis_of(box, periodic);
  std::vector<double> place(3 * count);  // within the box, in its vectors
  std::array<double, 3> low, high, reach{};
  low.fill(std::numeric_limits<double>::max());
  high.fill(std::numeric_limits<double>::lowest());
  wrapped_.assign(atoms.begin(), atoms.end());
  wrap_.resize(count);
  for (std::size_t i = 0; i < count; i++) {
    std::array<std::int64_t, 3> boxes{};
    for (std::size_t a = 0; a < 3; a++) {
      const double *r = &atoms[3 * i];
      if (!std::isfinite(r[a]))
        throw Error("The neighbours could not be found: the position of atom " + std::to_string(i) + " is not finite.");
      if (!periodic[a]) continue;
      const double along = r[0] * basis.dual[a][0] + r[1] * basis.dual[a][1] + r[2] * basis.dual[a][2];
      if (!(std::abs(along) < most_boxes))
        throw Error("Atom " + std::to_string(i) + " lies " + std::to_string(along) + " boxes away. Wrap it into the box.");
      const double whole = std::floor(along);
      boxes[a] = static_cast<std::int64_t>(whole);
      place[3 * i + a] = along - whole;
      low[a] = std::min(low[a], along - whole);
      high[a] = std::max(high[a], along - whole);
      for (std::size_t x = 0; x < 3; x++) wrapped_[3 * i + x] -= whole * box[3 * a + x];
    }
    wrap_[i] = number_of(boxes[0], boxes[1], boxes[2]);
  }
  double images = 1.0;
  for (std::size_t a = 0; a < 3; a++) {
    if (!periodic[a]) continue;
    reach[a] = wider * radius / basis.height[a];
    images *= 2.0 * reach[a] + 1.0;
    if (!(images < most_images))
      throw Error("The box is only " + std::to_string(basis.height[a]) + " Angstrom high; within " + std::to_string(radius) +
                  " Angstrom an atom would see too many images.");
  }

  atom_of_.clear();
  shift_of_.clear();
  unsorted_.clear();
  itself_.resize(count);
  std::array<std::int64_t, 3> from{}, to{}, n{};
  for (std::size_t i = 0; i < count; i++) {
    for (std::size_t a = 0; a < 3; a++) {
      if (!periodic[a]) continue;
      from[a] = static_cast<std::int64_t>(std::ceil(low[a] - reach[a] - place[3 * i + a]));
      to[a] = static_cast<std::int64_t>(std::floor(high[a] + reach[a] - place[3 * i + a]));
    }
    for (n[0] = from[0]; n[0] <= to[0]; n[0]++)
      for (n[1] = from[1]; n[1] <= to[1]; n[1]++)
        for (n[2] = from[2]; n[2] <= to[2]; n[2]++) {
          if (unsorted_.size() >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
            throw Error("The box is so small that its atoms have more than 2147483647 images within " +
                        std::to_string(radius) + " Angstrom.");
          const std::int64_t shift = number_of(n[0], n[1], n[2]);
          const auto number = static_cast<std::int32_t>(unsorted_.size());
          if (shift == 0) itself_[i] = number;
          Copy copy{{wrapped_[3 * i], wrapped_[3 * i + 1], wrapped_[3 * i + 2]}, {}, number};
          for (std::size_t a = 0; a < 3; a++)
            if (periodic[a])
              for (std::size_t x = 0; x < 3; x++) copy.shift[x] += static_cast<double>(n[a]) * box[3 * a + x];
          unsorted_.push_back(copy);
          atom_of_.push_back(static_cast<std::int32_t>(i));
          shift_of_.push_back(shift - wrap_[i]);
        }
  }
}

std::int64_t ImageSearch::Grid::along(std::size_t a, double place) const
{
  return static_cast<std::int64_t>(std::clamp((place - start[a]) * inverse, 0.0, static_cast<double>(cells[a] - 1)));
}

/// Sort the copies into cells of 0.7 of the radius, or larger ones where that would be more cells than copies.
void ImageSearch::fill_cells(double radius)
{
  const double most = std::max(64.0, 2.0 * static_cast<double>(unsorted_.size()));
  std::array<double, 3> low{}, high{};
  for (std::size_t k = 0; k < unsorted_.size(); k++)
    for (std::size_t a = 0; a < 3; a++) {
      const double place = unsorted_[k].place[a] + unsorted_[k].shift[a];
      low[a] = k ? std::min(low[a], place) : place;
      high[a] = k ? std::max(high[a], place) : place;
    }
  grid_.start = low;
  grid_.edge = 0.7 * radius;
  const auto layers = [&](std::size_t a) { return std::floor((high[a] - low[a]) / grid_.edge) + 1.0; };
  while (layers(0) * layers(1) * layers(2) > most) grid_.edge *= 1.25;
  grid_.inverse = 1.0 / grid_.edge;
  for (std::size_t a = 0; a < 3; a++) grid_.cells[a] = static_cast<std::int64_t>(layers(a));

  const auto cell_of = [this](const Copy &copy) {
    std::int64_t cell = 0;
    for (std::size_t a = 0; a < 3; a++) cell = cell * grid_.cells[a] + grid_.along(a, copy.place[a] + copy.shift[a]);
    return static_cast<std::size_t>(cell);
  };
  cell_first_.assign(static_cast<std::size_t>(grid_.cells[0] * grid_.cells[1] * grid_.cells[2]) + 2, 0);
  // Counts stand two places behind their cell's, so that filling the cells moves them to where they belong.
  for (const Copy &copy : unsorted_) cell_first_[cell_of(copy) + 2]++;
  for (std::size_t cell = 2; cell < cell_first_.size(); cell++) cell_first_[cell] += cell_first_[cell - 1];
  copies_.resize(unsorted_.size());
  for (const Copy &copy : unsorted_)
    copies_[static_cast<std::size_t>(cell_first_[cell_of(copy) + 1]++)] = copy;
}

/// Append an atom's neighbours to a part's, in order.
void ImageSearch::look_around(std::size_t atom, double radius, Scratch &scratch, Part &part) const
{
  const double within = radius * radius, wide = wider * radius;
  const double x = wrapped_[3 * atom], y = wrapped_[3 * atom + 1], z = wrapped_[3 * atom + 2];
  const std::int32_t itself = itself_[atom];
  std::size_t found = 0;
  for (std::int64_t cx = grid_.along(0, x - wide), last_x = grid_.along(0, x + wide); cx <= last_x; cx++) {
    const double away_x = gap(x, grid_.start[0], grid_.edge, cx);
    for (std::int64_t cy = grid_.along(1, y - wide), last_y = grid_.along(1, y + wide); cy <= last_y; cy++) {
      const double away_y = gap(y, grid_.start[1], grid_.edge, cy);
      const double left = wide * wide - away_x * away_x - away_y * away_y;
      if (left < 0.0) continue;
      const double half = std::sqrt(left);
      const std::int64_t column = (cx * grid_.cells[1] + cy) * grid_.cells[2];
      const Copy *copy = copies_.data() + cell_first_[static_cast<std::size_t>(column + grid_.along(2, z - half))];
      const Copy *end = copies_.data() + cell_first_[static_cast<std::size_t>(column + grid_.along(2, z + half)) + 1];
      // One place more: it is written to before a copy is known to be near.
      const std::size_t room = found + static_cast<std::size_t>(end - copy) + 1;
      if (scratch.near.size() < room) scratch.near.resize(2 * room);
      std::int32_t *near = scratch.near.data();
      for (; copy < end; copy++) {
        // Seen from the other atom all of these have the other sign, to the last bit: each is the other's neighbour.
        const double dx = (copy->place[0] - x) + copy->shift[0], dy = (copy->place[1] - y) + copy->shift[1],
                     dz = (copy->place[2] - z) + copy->shift[2];
        near[found] = copy->number;
        // Without a branch, which could not be foreseen: what is too far is written over by the next.
        found += copy->number != itself && dx * dx + dy * dy + dz * dz < within;
      }
    }
  }
  append_sorted(std::span(scratch.near).first(found), scratch.bits, scratch.of_bits, part.numbers);
}

/// Append the shifts at which others see an atom, to a part's: those at which it sees them, with the other sign. The atom's
/// neighbours are the part's `from` one on.
void ImageSearch::find_images(std::size_t atom, std::size_t from, Part &part) const
{
  const auto start = static_cast<std::ptrdiff_t>(part.images.size());
  for (std::size_t k = from; k < part.numbers.size(); k++) {
    const std::int64_t shift = -(shift_of_[static_cast<std::size_t>(part.numbers[k])] + wrap_[atom]);
    if (shift != 0 && std::find(part.images.begin() + start, part.images.end(), shift) == part.images.end())
      part.images.push_back(shift);
  }
  std::sort(part.images.begin() + start, part.images.end());
}

/// List atoms and images, the images of an atom by their shifts: so that sums over them do not depend on when the list
/// was made, nor on which others there are.
void ImageSearch::place_images(const std::array<double, 9> &box)
{
  const std::size_t count = first.size() - 1;
  owner.resize(count + image_shifts_.size());
  offset.assign(3 * owner.size(), 0.0);
  for (std::size_t i = 0; i < count; i++) {
    owner[i] = static_cast<std::int64_t>(i);
    for (std::int64_t image = first_image_[i]; image < first_image_[i + 1]; image++) {
      const std::size_t place = count + static_cast<std::size_t>(image);
      owner[place] = static_cast<std::int64_t>(i);
      const std::array<std::int64_t, 3> shift = components(image_shifts_[static_cast<std::size_t>(image)]);
      for (std::size_t a = 0; a < 3; a++)
        if (shift[a] != 0)
          for (std::size_t x = 0; x < 3; x++) offset[3 * place + x] += static_cast<double>(shift[a]) * box[3 * a + x];
    }
  }
}

/// The places of an atom's neighbours.
void ImageSearch::place_neighbours(std::size_t atom, const std::int32_t *numbers)
{
  const auto count = static_cast<std::int64_t>(first.size()) - 1;
  for (std::int64_t edge = first[atom]; edge < first[atom + 1]; edge++, numbers++) {
    const std::int64_t other = atom_of_[static_cast<std::size_t>(*numbers)];
    const std::int64_t shift = shift_of_[static_cast<std::size_t>(*numbers)] + wrap_[atom];
    const auto images = [&](std::int64_t atom_number) { return image_shifts_.begin() + first_image_[static_cast<std::size_t>(atom_number)]; };
    const auto image = [&] { return std::lower_bound(images(other), images(other + 1), shift) - image_shifts_.begin(); };
    neighbours[static_cast<std::size_t>(edge)] = shift == 0 ? other : count + image();
  }
}

}  // namespace transip
