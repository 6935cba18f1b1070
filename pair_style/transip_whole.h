/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

// All atoms of this rank and the box, for a model that finds their neighbours itself.

#ifndef LMP_TRANSIP_WHOLE_H
#define LMP_TRANSIP_WHOLE_H

#include "pointers.h"

#include "transip/model.h"

#include <cstdint>
#include <vector>

namespace LAMMPS_NS {

class TransIPWhole : protected Pointers {
 public:
  explicit TransIPWhole(class LAMMPS *);

  // atoms and box of this step; elements: atomic number of each atom type, 0 for types of another style
  void gather(const std::vector<std::int64_t> &elements);

  // a request for them, which asks for nothing yet; until the next `gather`
  transip::StructureRequest request() const;

  std::vector<int> atom_of_place;    // [N] local atom

  double memory_usage() const;

 private:
  std::vector<std::int64_t> species;    // [N]
  std::vector<double> positions;        // [N*3]
};

}    // namespace LAMMPS_NS

#endif
