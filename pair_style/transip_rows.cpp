/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

#include "transip_rows.h"

#include "transip_halo_exchange.h"

#include "atom.h"
#include "error.h"
#include "lmptype.h"
#include "neigh_list.h"

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

TransIPRows::TransIPRows(LAMMPS *lmp) : Pointers(lmp) {}

/* ---------------------------------------------------------------------- */

void TransIPRows::forget()
{
  local_of_tag.clear();
}

/* ---------------------------------------------------------------------- */

void TransIPRows::add_row(int i, std::int64_t token)
{
  row_of_atom[i] = static_cast<std::int64_t>(atom_of_row.size());
  atom_of_row.push_back(i);
  owner.push_back(token);
  positions.insert(positions.end(), atom->x[i], atom->x[i] + 3);
}

/* ----------------------------------------------------------------------
   local atom that a ghost is an image of
------------------------------------------------------------------------- */

int TransIPRows::owner_of_ghost(int j)
{
  const auto local = local_of_tag.find(atom->tag[j]);
  if (local == local_of_tag.end())
    error->one(FLERR, "pair_style transip: ghost atom {} is an image of no local atom",
               atom->tag[j]);
  return local->second;
}

/* ----------------------------------------------------------------------
   the list may hold atoms beyond the cutoff: only those within are handed on
------------------------------------------------------------------------- */

void TransIPRows::build(NeighList *list, const std::vector<std::int64_t> &elements, double cutoff,
                        TransIPGhosts ghosts, const TransIPHaloExchange &exchange)
{
  const int nlocal = atom->nlocal;
  const int nall = nlocal + atom->nghost;
  double **x = atom->x;
  const int *type = atom->type;

  atom_of_row.clear();
  species.clear();
  owned.clear();
  positions.clear();
  owner.clear();
  neighbours.clear();
  first.assign(1, 0);
  closest = Closest();
  row_of_atom.assign(nall, -1);

  // tokens first

  const int last = ghosts == TransIPGhosts::TOKENS ? nall : nlocal;
  for (int i = 0; i < last; i++) {
    if (elements[type[i]] == 0) continue;
    add_row(i, static_cast<std::int64_t>(atom_of_row.size()));
    species.push_back(elements[type[i]]);
    owned.push_back(i < nlocal);
  }
  const std::size_t tokens = species.size();

  if (ghosts == TransIPGhosts::IMAGES && local_of_tag.empty())
    for (int i = 0; i < nlocal; i++) local_of_tag.emplace(atom->tag[i], i);

  // then images, as they are met

  const double cutsq = cutoff * cutoff;
  for (std::size_t t = 0; t < tokens; t++) {
    const int i = atom_of_row[t];
    const int *jlist = list->firstneigh[i];
    const int jnum = list->numneigh[i];
    for (int jj = 0; jj < jnum; jj++) {
      const int j = jlist[jj] & NEIGHMASK;
      if (elements[type[j]] == 0) continue;
      const double dx = x[j][0] - x[i][0];
      const double dy = x[j][1] - x[i][1];
      const double dz = x[j][2] - x[i][2];
      const double rsq = dx * dx + dy * dy + dz * dz;
      if (rsq >= cutsq) continue;
      closest.look(rsq, atom->tag[i], atom->tag[j]);
      if (row_of_atom[j] < 0)
        add_row(j, ghosts == TransIPGhosts::IMAGES ? row_of_atom[owner_of_ghost(j)]
                                                   : exchange.owner(j));
      neighbours.push_back(row_of_atom[j]);
    }
    first.push_back(static_cast<std::int64_t>(neighbours.size()));
  }
}

/* ---------------------------------------------------------------------- */

double TransIPRows::memory_usage() const
{
  return static_cast<double>(
      sizeof(std::int64_t) * (species.capacity() + owner.capacity() + first.capacity() +
                              neighbours.capacity() + row_of_atom.capacity()) +
      sizeof(double) * positions.capacity() + sizeof(int) * atom_of_row.capacity() +
      owned.capacity());
}
