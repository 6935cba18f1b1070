// A step of small molecules in one launch: what its kernel is given.
#pragma once

#include "search.h"
#include "totals.h"

namespace transip::cuda {

/// A step; and, of a structure that is one molecule, where its atoms are and what it comes to.
template <typename Real> struct MoleculeStep {
  Step<Real> step;
  Search search;  ///< unused without `whole_structure`, as are the totals
  Totals totals;
};

/// What a launch does beside the energies: bits of its part.
enum MoleculePart { with_forces = 1, whole_structure = 2, nearest_pair = 4 };

}  // namespace transip::cuda
