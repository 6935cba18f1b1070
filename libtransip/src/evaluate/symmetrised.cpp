#include "symmetrised.h"

#include "transip/error.h"

#include <algorithm>
#include <array>
#include <string>

namespace transip {

void Symmetrised::set(const Symmetry &symmetry, const SymmetryTables &tables)
{
  RotationSet set;
  if (symmetry.mode == Symmetry::Mode::average) set = tables.rotation_set(symmetry.count, symmetry.inversion);
  clear();
  set_ = std::move(set);
  symmetry_ = symmetry;
}

void Symmetrised::clear()
{
  symmetry_ = {};
  frame_.reset();
}

void Symmetrised::set_reference(std::span<const std::int64_t> species, std::span<const double> positions,
                                const SymmetryTables &tables)
{
  frame_ = tables.make_frame(species, positions);
  species_.assign(species.begin(), species.end());
}

void Symmetrised::check_frame(const Request &request) const
{
  if (!frame_) throw Error("symmetry frame was given no reference structure.");
  if (!std::equal(species_.begin(), species_.end(), request.species.begin(), request.species.end()))
    throw Error("symmetry frame: the atoms are not those of the reference structure, which has " +
                std::to_string(species_.size()) + "; got " + std::to_string(request.species.size()) +
                ", or other elements. Give a reference with the same atoms in the same order.");
}

void Symmetrised::evaluate(const Request &request, Result &result, bool forces)
{
  switch (symmetry_.mode) {
    case Symmetry::Mode::average: return evaluator_.average(request, set_, result, forces);
    case Symmetry::Mode::random: {
      const std::array<double, 9> rotation = numbered_rotation(symmetry_.seed, request.step);
      return evaluator_.average(request, {{rotation.begin(), rotation.end()}, {1.0}}, result, forces);
    }
    case Symmetry::Mode::frame:
      check_frame(request);
      if (request.virials)
        throw Error("symmetry frame has no virials of single atoms: the frame rotates with all of them. Use symmetry average N.");
      evaluator_.evaluate(request, frame_->rotated(request.positions), result, forces);
      if (forces) frame_->turn_back(result.forces);
      return;
    case Symmetry::Mode::none: return evaluator_.evaluate(request, request.positions, result, forces);
  }
}

}  // namespace transip
