/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

// Features of atoms to the ghosts of them on other ranks, and gradients back, layer by layer.

#ifndef LMP_TRANSIP_EXCHANGE_H
#define LMP_TRANSIP_EXCHANGE_H

#include "pointers.h"

#include "transip/model.h"

#include <vector>

namespace LAMMPS_NS {

class TransIPExchange : public transip::Exchange, protected Pointers {
 public:
  TransIPExchange(class LAMMPS *, class Pair *);
  ~TransIPExchange() noexcept override = default;

  // width: numbers for each atom; atom_of_row: the rows of the model, `tokens` of them local atoms
  void prepare(int width, const std::vector<int> &atom_of_row, std::size_t tokens);

  void forward(std::span<double> features) override;
  void reverse(std::span<double> gradients) override;

  // what Pair's methods of these names do
  int pack_forward(int n, const int *list, double *buf) const;
  void unpack_forward(int n, int first, const double *buf);
  int pack_reverse(int n, int first, double *buf) const;
  void unpack_reverse(int n, const int *list, const double *buf);

  double memory_usage() const { return static_cast<double>(sizeof(double) * of_atom.capacity()); }

 private:
  class Pair *pair;
  int width = 0;
  std::size_t tokens = 0;
  const std::vector<int> *atom_of_row = nullptr;
  // [nall*width]: ghosts that are no row pass on to other ranks what they get
  std::vector<double> of_atom;

  double *place(int i) { return of_atom.data() + static_cast<std::size_t>(i) * width; }
  const double *place(int i) const { return of_atom.data() + static_cast<std::size_t>(i) * width; }
};

}    // namespace LAMMPS_NS

#endif
