// Repulsion of two atoms that are closer than a bond, which a model may have beside its network. Internal to libtransip.
#pragma once

#include "edge.h"
#include "modelfile/weights.h"
#include "transip/metadata.h"
#include "transip/model.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace transip {

/// Ziegler-Biersack-Littmark, faded out at the sum of the radii that the file states; the twin of
/// python/transip_md/model/short_range.py, which names the sources.
class ShortRange {
 public:
  /// None: the model has no repulsion.
  ///
  /// Throws Error: the file lacks its tables, or they have other shapes.
  static std::optional<ShortRange> make(const Weights &weights, const Metadata &metadata);

  /// Distance from which on no pair of atoms repels, Angstrom.
  double reach() const { return cutoff_ > 0.0 ? std::min(longest_, cutoff_) : longest_; }

  /// Add the repulsion to the energies, and to forces and virials if they are wanted, of a request whose positions are
  /// these [I*3], Angstrom. With an exchange every rank calls it.
  ///
  /// nearby: all edges that are shorter than `reach`; others may be among them.
  /// The arrays of the result have been made by the network's kernels for the same request, which have checked it.
  /// Throws Error: a species that the model does not know.
  void add(const Request &request, std::span<const double> positions, std::span<const Edge> nearby, Result &result,
           bool forces);
  /// The same of edges that nobody has looked for.
  void add(const Request &request, std::span<const double> positions, Result &result, bool forces);

 private:
  struct Pair {
    double energy, slope;  // eV, eV/Angstrom
  };

  ShortRange() = default;
  void find_kinds(const Request &request);
  std::size_t kind_of_row(const Request &request, std::int64_t row) const;
  Pair pair(std::size_t first, std::size_t second, double distance) const;

  std::map<std::int64_t, std::size_t> place_of_species_{};
  std::vector<double> charges_{}, screening_{}, radii_{};
  double cutoff_ = 0.0;                 // Angstrom; 0: there is none
  double longest_ = 0.0;                // Angstrom, of any pair
  std::vector<double> kinds_{};         // [T + halo atoms] places of the elements, as a HaloExchange hands them on
  std::vector<double> given_kinds_{};   // those of the tokens that other ranks ask for
  std::vector<Edge> nearby_{};          // of the evaluation at hand
};

}  // namespace transip
