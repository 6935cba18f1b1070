/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

#ifndef LMP_TRANSIP_PATH_H
#define LMP_TRANSIP_PATH_H

#include <string>

namespace LAMMPS_NS {

// Path of a file that an input deck names. LAMMPS writes characters outside of ASCII anew before a
// style sees them, so that `mü.pt` arrives as another name: a path that does not exist is looked
// for among the files whose names LAMMPS would write like this. The path as it was given if there
// is none; throws transip::Error if there are several.
std::string transip_path(const std::string &given);

}    // namespace LAMMPS_NS

#endif
