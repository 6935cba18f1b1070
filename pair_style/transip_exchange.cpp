/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

#include "transip_exchange.h"

#include "atom.h"
#include "comm.h"
#include "pair.h"

#include <algorithm>

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

TransIPExchange::TransIPExchange(LAMMPS *lmp, Pair *pair) : Pointers(lmp), pair(pair) {}

/* ---------------------------------------------------------------------- */

void TransIPExchange::prepare(int width_, const std::vector<int> &atom_of_row_, std::size_t tokens_)
{
  width = width_;
  atom_of_row = &atom_of_row_;
  tokens = tokens_;
  of_atom.assign(static_cast<std::size_t>(atom->nlocal + atom->nghost) * width, 0.0);
}

/* ---------------------------------------------------------------------- */

void TransIPExchange::forward(std::span<double> features)
{
  for (std::size_t row = 0; row < tokens; row++)
    std::copy_n(&features[row * width], width, place((*atom_of_row)[row]));
  comm->forward_comm(pair);
  for (std::size_t row = tokens; row < atom_of_row->size(); row++)
    std::copy_n(place((*atom_of_row)[row]), width, &features[row * width]);
}

/* ----------------------------------------------------------------------
   ghosts that are no row have nothing to give
------------------------------------------------------------------------- */

void TransIPExchange::reverse(std::span<double> gradients)
{
  std::fill(of_atom.begin(), of_atom.end(), 0.0);
  for (std::size_t row = 0; row < atom_of_row->size(); row++)
    std::copy_n(&gradients[row * width], width, place((*atom_of_row)[row]));
  comm->reverse_comm(pair);
  for (std::size_t row = 0; row < tokens; row++)
    std::copy_n(place((*atom_of_row)[row]), width, &gradients[row * width]);
}

/* ---------------------------------------------------------------------- */

int TransIPExchange::pack_forward(int n, const int *list, double *buf) const
{
  for (int i = 0; i < n; i++) buf = std::copy_n(place(list[i]), width, buf);
  return n * width;
}

/* ---------------------------------------------------------------------- */

void TransIPExchange::unpack_forward(int n, int first, const double *buf)
{
  std::copy_n(buf, static_cast<std::size_t>(n) * width, place(first));
}

/* ---------------------------------------------------------------------- */

int TransIPExchange::pack_reverse(int n, int first, double *buf) const
{
  std::copy_n(place(first), static_cast<std::size_t>(n) * width, buf);
  return n * width;
}

/* ---------------------------------------------------------------------- */

void TransIPExchange::unpack_reverse(int n, const int *list, const double *buf)
{
  for (int i = 0; i < n; i++) {
    double *to = place(list[i]);
    for (int k = 0; k < width; k++) to[k] += *buf++;
  }
}
