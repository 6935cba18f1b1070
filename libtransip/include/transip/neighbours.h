// Neighbours within a cutoff, as rows, owners and lists (docs/conventions.md), for engines without lists of their own.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace transip {

namespace native {
class Workers;
}

class Neighbours {
 public:
  /// What lists hold: pairs within the cutoff alone, for evaluators that pay for every pair; or those in the skin too,
  /// for evaluators that measure all pairs by themselves.
  enum class Reach { cutoff, skin };

  /// cutoff: Angstrom. skin: Angstrom; pairs are searched anew when an atom has moved by half of it.
  Neighbours(double cutoff, double skin, Reach reach = Reach::cutoff);
  ~Neighbours();
  Neighbours(Neighbours &&) noexcept;
  Neighbours &operator=(Neighbours &&) noexcept;

  /// All neighbours of all atoms, through periodic images however small the box is. Atoms may lie outside the box.
  ///
  /// An atom's neighbours, and the images of an atom, are in an order that does not depend on when pairs were searched.
  /// positions: [N*3] Angstrom. box: its three vectors one after another, Angstrom; not looked at along axes that are
  /// not periodic. periodic: along each of the vectors. workers: threads that share a search, see Model::workers; null: the
  /// caller's alone. Throws Error: a box without volume or much smaller than the cutoff, positions that are not finite.
  void find(std::span<const double> positions, const std::array<double, 9> &box, const std::array<bool, 3> &periodic,
            native::Workers *workers = nullptr);

  std::vector<std::int64_t> owner;       ///< [I] the atom that a row is an image of; owner[i] = i for the first N
  std::vector<double> positions;         ///< [I*3] Angstrom, of the rows
  std::vector<std::int64_t> first;       ///< [N+1] where an atom's neighbours begin
  std::vector<std::int64_t> neighbours;  ///< [E] rows within reach of each atom, one atom after another

 private:
  void keep_within_cutoff();

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace transip
