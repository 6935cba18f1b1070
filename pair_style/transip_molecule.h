/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

// All atoms of all ranks on every rank, in the order of their tags, for an all-to-all model.

#ifndef LMP_TRANSIP_MOLECULE_H
#define LMP_TRANSIP_MOLECULE_H

#include "transip_closest.h"

#include "pointers.h"

#include <cstdint>
#include <vector>

namespace LAMMPS_NS {

class TransIPMolecule : protected Pointers {
 public:
  explicit TransIPMolecule(class LAMMPS *);

  // elements: atomic number of each atom type, 0 for types of another style
  void gather(const std::vector<std::int64_t> &elements);

  Closest closest() const;

  // rank 0's values, so many for each atom, to all ranks; meant to be called by all
  void share(std::vector<double> &values, int width);

  std::vector<std::int64_t> species;    // [N] of the whole molecule
  std::vector<double> positions;        // [N*3]
  std::vector<tagint> tags;             // [N]
  std::vector<int> atom_of_place;       // [N] local atom, -1 if it is another rank's

  double memory_usage() const;

 private:
  struct Member {
    double x[3];
    std::int64_t element;
    tagint tag;
  };
  std::vector<Member> mine, all;
  std::vector<int> counts, starts;
};

}    // namespace LAMMPS_NS

#endif
