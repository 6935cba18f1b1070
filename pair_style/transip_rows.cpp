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

#include <algorithm>

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

TransIPRows::TransIPRows(LAMMPS *lmp) : Pointers(lmp) {}

/* ---------------------------------------------------------------------- */

void TransIPRows::add_row(int i, std::int64_t token)
{
  row_of_atom[i] = static_cast<std::int64_t>(atom_of_row.size());
  atom_of_row.push_back(i);
  owner.push_back(token);
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

/* ---------------------------------------------------------------------- */

double TransIPRows::square(std::int64_t token, std::int64_t row) const
{
  const double dx = positions[3 * row] - positions[3 * token];
  const double dy = positions[3 * row + 1] - positions[3 * token + 1];
  const double dz = positions[3 * row + 2] - positions[3 * token + 2];
  return dx * dx + dy * dy + dz * dz;
}

/* ---------------------------------------------------------------------- */

void TransIPRows::build(NeighList *list, const std::vector<std::int64_t> &elements,
                        TransIPGhosts ghosts, const TransIPHaloExchange &exchange, double near)
{
  const int nlocal = atom->nlocal;
  const int nall = nlocal + atom->nghost;
  const int *type = atom->type;

  atom_of_row.clear();
  species.clear();
  owned.clear();
  owner.clear();
  neighbours.clear();
  first.assign(1, 0);
  near_pairs.clear();
  local_of_tag.clear();
  row_of_atom.assign(nall, -1);
  types.assign(type, type + nall);

  // tokens first

  const int last = ghosts == TransIPGhosts::TOKENS ? nall : nlocal;
  for (int i = 0; i < last; i++) {
    if (elements[type[i]] == 0) continue;
    add_row(i, static_cast<std::int64_t>(atom_of_row.size()));
    species.push_back(elements[type[i]]);
    owned.push_back(i < nlocal);
  }
  const std::size_t tokens = species.size();

  if (ghosts == TransIPGhosts::IMAGES)
    for (int i = 0; i < nlocal; i++) local_of_tag.emplace(atom->tag[i], i);

  // then images, as they are met

  for (std::size_t t = 0; t < tokens; t++) {
    const int *jlist = list->firstneigh[atom_of_row[t]];
    const int jnum = list->numneigh[atom_of_row[t]];
    for (int jj = 0; jj < jnum; jj++) {
      const int j = jlist[jj] & NEIGHMASK;
      if (elements[type[j]] == 0) continue;
      if (row_of_atom[j] < 0)
        add_row(j, ghosts == TransIPGhosts::IMAGES ? row_of_atom[owner_of_ghost(j)]
                                                   : exchange.owner(j));
      neighbours.push_back(row_of_atom[j]);
    }
    first.push_back(static_cast<std::int64_t>(neighbours.size()));
  }

  update();
  for (std::size_t t = 0; t < tokens; t++)
    for (std::int64_t e = first[t]; e < first[t + 1]; e++)
      if (square(t, neighbours[e]) < near * near)
        near_pairs.push_back({static_cast<std::int64_t>(t), neighbours[e]});
}

/* ---------------------------------------------------------------------- */

bool TransIPRows::up_to_date() const
{
  return static_cast<int>(types.size()) == atom->nlocal + atom->nghost &&
      std::equal(types.begin(), types.end(), atom->type);
}

/* ---------------------------------------------------------------------- */

void TransIPRows::update()
{
  positions.resize(3 * atom_of_row.size());
  double *to = positions.data();
  for (const int i : atom_of_row) to = std::copy_n(atom->x[i], 3, to);
}

/* ---------------------------------------------------------------------- */

void TransIPRows::filter(double cutoff)
{
  within.clear();
  first_within.assign(1, 0);
  for (std::size_t t = 0; t < species.size(); t++) {
    for (std::int64_t e = first[t]; e < first[t + 1]; e++)
      if (square(t, neighbours[e]) < cutoff * cutoff) within.push_back(neighbours[e]);
    first_within.push_back(static_cast<std::int64_t>(within.size()));
  }
}

/* ---------------------------------------------------------------------- */

Closest TransIPRows::closest() const
{
  Closest found;
  for (const NearPair &pair : near_pairs)
    found.look(square(pair.token, pair.row), atom->tag[atom_of_row[pair.token]],
               atom->tag[atom_of_row[pair.row]]);
  return found;
}

/* ---------------------------------------------------------------------- */

double TransIPRows::memory_usage() const
{
  return static_cast<double>(
      sizeof(std::int64_t) * (species.capacity() + owner.capacity() + first.capacity() +
                              neighbours.capacity() + first_within.capacity() +
                              within.capacity() + row_of_atom.capacity()) +
      sizeof(double) * positions.capacity() +
      sizeof(int) * (atom_of_row.capacity() + types.capacity()) +
      sizeof(NearPair) * near_pairs.capacity() +
      owned.capacity());
}
