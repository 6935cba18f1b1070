// The search for neighbours: which atoms, and which of their periodic images, lie within a radius of each atom. Internal
// to libtransip.
#pragma once

#include "cpu/network.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace transip {

/// A search by cells. Copies of the wrapped atoms, as far as the radius reaches around the box, lie in cells of 0.7 of the
/// radius; what the cells around an atom hold is measured. Work on atoms is shared by threads, and the lists do not depend
/// on how many there are.
class ImageSearch {
 public:
  /// Search anew.
  ///
  /// atoms: [N*3] Angstrom, inside the box or not. box: its three vectors one after another, Angstrom; not looked at along
  /// axes that are not periodic. periodic: along each of the vectors. radius: Angstrom. workers: threads; null: this one.
  ///
  /// Throws Error: a box without volume, or so small against the radius that an atom would see a million images;
  /// positions that are not finite, or 100,000 boxes away. Throws std::bad_alloc.
  void find(std::span<const double> atoms, const std::array<double, 9> &box, const std::array<bool, 3> &periodic,
            double radius, native::Workers *workers);

  // Places are the atoms and behind them those images that are within the radius of any atom, by atom and shift.
  std::vector<std::int64_t> owner;       ///< of each place, the atom
  std::vector<double> offset;            ///< [places*3] Angstrom, from the owner
  std::vector<std::int64_t> first;       ///< [N+1] where an atom's neighbours begin
  std::vector<std::int64_t> neighbours;  ///< places, by atom and shift; no atom is its own neighbour

 private:
  /// A copy of a wrapped atom, shifted by whole box vectors.
  struct Copy {
    double place[3], shift[3];  ///< Angstrom; the copy lies at their sum
    std::int32_t number;        ///< among all copies: atom after atom, and of an atom by its shift
  };
  /// What a part of the atoms finds.
  struct Part {
    std::vector<std::int32_t> numbers;  ///< of the copies that are neighbours, atom after atom, in order
    std::vector<std::int64_t> images;   ///< shifts of its atoms' images, in order
  };
  /// What one thread works with.
  struct Scratch {
    std::vector<std::int32_t> near;            ///< copies around an atom
    std::vector<std::uint64_t> bits, of_bits;  ///< a bit for each copy, and for each 64 of these; zero between atoms
  };
  struct Grid {
    std::array<double, 3> start{};
    double edge = 1.0, inverse = 1.0;  ///< Angstrom; 1 / edge
    std::array<std::int64_t, 3> cells{};

    std::int64_t along(std::size_t a, double place) const;
  };

  void make_copies(std::span<const double> atoms, const std::array<double, 9> &box, const std::array<bool, 3> &periodic,
                   double radius);
  void fill_cells(double radius);
  void look_around(std::size_t atom, double radius, Scratch &scratch, Part &part) const;
  void find_images(std::size_t atom, std::size_t from, Part &part) const;
  void place_images(const std::array<double, 9> &box);
  void place_neighbours(std::size_t atom, const std::int32_t *numbers);

  std::vector<double> wrapped_;           // [N*3] Angstrom
  std::vector<std::int64_t> wrap_;        // [N] shift from the wrapped atom to the atom
  std::vector<std::int32_t> itself_;      // [N] the copy that lies where the wrapped atom does
  std::vector<std::int32_t> atom_of_;     // of each copy by its number
  std::vector<std::int64_t> shift_of_;    // of each copy by its number, from its atom
  std::vector<Copy> unsorted_, copies_;   // cell by cell
  std::vector<std::int64_t> cell_first_;  // [cells + 1]
  Grid grid_;
  std::vector<Part> parts_;
  std::vector<Scratch> scratch_;
  std::vector<std::int64_t> first_image_;   // [N+1] where the images of an atom begin, counted from the first image
  std::vector<std::int64_t> image_shifts_;  // of each image
};

}  // namespace transip
