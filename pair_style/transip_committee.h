/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

// Models beside the first of a pair style, and how far the forces, virials and energies of all of them lie apart: the
// model deviation as DeePMD-kit defines it (Zhang et al., Comput. Phys. Commun. 253, 107206 (2020)).

#ifndef LMP_TRANSIP_COMMITTEE_H
#define LMP_TRANSIP_COMMITTEE_H

#include "pointers.h"

#include "transip/model.h"

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class TransIPCommittee : protected Pointers {
 public:
  TransIPCommittee(class LAMMPS *, class Pair *);
  ~TransIPCommittee() noexcept override;

  // forget models and settings: a new pair_style command
  void clear();

  // number of arguments from arg[iarg] on that were a keyword of the committee and its values; 0: another keyword
  int keyword(int narg, char **arg, int iarg);

  // after all keywords: whether they go together
  void check() const;

  // number of models, the first included
  int count() const { return static_cast<int>(others.size()) + 1; }

  // numbers of an atom in a reverse communication
  int comm_reverse() const { return others.empty() ? 0 : 3 * count(); }

  // whether deviations of this step are wanted, and whether the other models are to be evaluated for them or the mean
  bool is_judged() const;
  bool is_evaluated() const;

  std::vector<transip::Model> others;
  std::vector<transip::Result> results;    // of all models, the first model's first
  bool mean = false;                       // forces are the mean of all models

  // energies, forces and virials of the mean of all models
  void average(transip::Result &) const;

  // forces of rows: added to their atoms, ghosts' given back to their owners
  // energy_unit: eV in LAMMPS's energy unit
  void judge_rows(const class TransIPRows &, const std::vector<std::int64_t> &element_of_type,
                  double energy_unit);
  // results: of all models, in their order
  void judge_whole(const class TransIPWhole &, const std::vector<transip::StructureResult> &results,
                   const std::vector<std::int64_t> &element_of_type, double energy_unit);
  void judge_molecule(class TransIPMolecule &, const std::vector<std::int64_t> &element_of_type,
                      double energy_unit);

  // what Pair's methods of these names do
  int pack_reverse(int n, int first, double *buf) const;
  void unpack_reverse(int n, const int *list, const double *buf);
  void *extract(const char *, int &);
  void *extract_peratom(const char *, int &);

  double memory_usage() const;

 private:
  class Pair *pair;
  std::string file, dump_file;
  bigint every = 0, last_written = -1;
  double stop_above = 0.0, dump_above = 0.0;    // 0: never
  int asked = 0;                                // by fix pair, in this step
  FILE *output = nullptr;                       // of rank 0
  std::vector<double> forces;                   // [nall][models][3]
  std::vector<double> virials, energies;        // [models][9], [models]
  std::vector<double> deviation;                // [nlocal], of forces

  struct Spread {
    double highest = 0.0, lowest = 0.0, average = 0.0;
  };
  Spread spread_of_virials(double atoms) const;
  void judge(const std::vector<std::int64_t> &element_of_type, double energy_unit);
  void write_line(const Spread &of_virials, const Spread &of_forces, double of_energies);
  void write_structure(const std::string &path, const std::vector<std::int64_t> &element_of_type,
                       double highest);
};

}    // namespace LAMMPS_NS

#endif
