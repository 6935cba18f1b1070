// What a file brings for exact symmetry, as numbers: sets of rotations, and masses and radii of the elements. The twin of
// rotation_set and make_frame in python/transip_md/symmetry/module.py, whose buffers these are. Internal to libtransip.
#pragma once

#include "modelfile/weights.h"
#include "frame.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace transip {

/// Rotations, row-major one after another, and their weights, which sum to 1.
struct RotationSet {
  std::vector<double> rotations;  ///< [N*9]; with inversion half of them are improper
  std::vector<double> weights;    ///< [N]
};

class SymmetryTables {
 public:
  /// Tables of a file with an index of its weights; none if it has no symmetries.
  static std::optional<SymmetryTables> from(const Weights &weights);

  /// Throws Error: no such set.
  RotationSet rotation_set(int count, bool inversion) const;

  /// Frame of a reference: atomic numbers [N] and positions [N*3], Angstrom.
  ///
  /// Throws Error: a linear molecule, or several.
  Frame make_frame(std::span<const std::int64_t> species, std::span<const double> positions) const;

 private:
  std::vector<double> rotations_, weights_, masses_, radii_;
};

}  // namespace transip
