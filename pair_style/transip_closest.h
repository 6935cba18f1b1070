/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

// The closest pair of atoms of a step, held against the training data.

#ifndef LMP_TRANSIP_CLOSEST_H
#define LMP_TRANSIP_CLOSEST_H

#include "lmptype.h"

namespace LAMMPS_NS {

// the two atoms that are nearest to each other
struct Closest {
  double squared = BIG;    // of their distance
  tagint one = 0, other = 0;

  void look(double rsq, tagint i, tagint j)
  {
    if (rsq >= squared) return;
    squared = rsq;
    one = i;
    other = j;
  }

 private:
  static constexpr double BIG = 1.0e300;
};

}    // namespace LAMMPS_NS

#endif
