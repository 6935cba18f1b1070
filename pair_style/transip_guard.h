/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

// How far atoms are from the sample of the training set that the model file brings, in the latent space.

#ifndef LMP_TRANSIP_GUARD_H
#define LMP_TRANSIP_GUARD_H

#include "pointers.h"

#include <vector>

namespace LAMMPS_NS {

class TransIPGuard : protected Pointers {
 public:
  explicit TransIPGuard(class LAMMPS *lmp) : Pointers(lmp) {}

  // forget settings: a new pair_style command
  void clear();

  // number of arguments from arg[iarg] on that were the keyword guard and its values; 0: another keyword
  int keyword(int narg, char **arg, int iarg);

  // a new run: warn again
  void begin_run() { warned = false; }

  // whether the keyword was given; whether distances of this step are wanted
  bool is_set() const { return every > 0; }
  bool is_measured() const;

  // distances of some of this rank's atoms; called by all ranks
  void judge(const std::vector<double> &distances, const std::vector<int> &atoms);

  // what Pair's methods of these names do
  void *extract(const char *, int &);
  void *extract_peratom(const char *, int &);

  double memory_usage() const { return static_cast<double>(sizeof(double) * distance.capacity()); }

 private:
  bigint every = 0;    // 0: not set
  double bound = 0.0;
  bool stops = false, warned = false;
  int asked = 0;                   // by fix pair, in this step
  std::vector<double> distance;    // [nlocal]

  bool is_due() const;
};

}    // namespace LAMMPS_NS

#endif
