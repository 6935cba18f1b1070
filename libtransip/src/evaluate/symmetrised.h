// A symmetry that is imposed on whatever evaluates a model. Internal to libtransip.
#pragma once

#include "symmetry/frame.h"
#include "evaluator.h"
#include "transip/symmetry.h"

#include <optional>
#include <span>
#include <vector>

namespace transip {

class Symmetrised {
 public:
  explicit Symmetrised(Evaluator &evaluator) : evaluator_(evaluator) {}

  /// Impose a symmetry from now on; `tables` are the file's. Throws Error: no such set of rotations.
  void set(const Symmetry &symmetry, const SymmetryTables &tables);

  /// Impose none.
  void clear();

  const Symmetry &symmetry() const { return symmetry_; }

  /// The frame wants a reference before the first evaluation.
  bool needs_reference() const { return symmetry_.mode == Symmetry::Mode::frame && !frame_; }

  /// Give the frame its reference: atomic numbers [N] and positions [N*3], Angstrom, of one molecule.
  ///
  /// Throws Error: a linear molecule, or several.
  void set_reference(std::span<const std::int64_t> species, std::span<const double> positions,
                     const SymmetryTables &tables);

  /// See Model::evaluate.
  void evaluate(const Request &request, Result &result, bool forces);

 private:
  void check_frame(const Request &request) const;

  Evaluator &evaluator_;
  Symmetry symmetry_{};
  RotationSet set_{};                    // of an average
  std::optional<Frame> frame_{};
  std::vector<std::int64_t> species_{};  // of the frame's reference
};

}  // namespace transip
