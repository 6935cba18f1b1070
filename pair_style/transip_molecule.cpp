/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

#include "transip_molecule.h"

#include "atom.h"
#include "comm.h"

#include <mpi.h>

#include <algorithm>
#include <unordered_map>

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

TransIPMolecule::TransIPMolecule(LAMMPS *lmp) : Pointers(lmp) {}

/* ----------------------------------------------------------------------
   in the order of tags, so that sums are rounded alike on any number of ranks
------------------------------------------------------------------------- */

void TransIPMolecule::gather(const std::vector<std::int64_t> &elements)
{
  mine.clear();
  std::unordered_map<tagint, int> local;
  for (int i = 0; i < atom->nlocal; i++) {
    const std::int64_t element = elements[atom->type[i]];
    if (element == 0) continue;
    const double *x = atom->x[i];
    mine.push_back({{x[0], x[1], x[2]}, element, atom->tag[i]});
    local.emplace(atom->tag[i], i);
  }

  if (comm->nprocs > 1) {
    const int bytes = static_cast<int>(mine.size() * sizeof(Member));
    counts.resize(comm->nprocs);
    starts.assign(comm->nprocs, 0);
    MPI_Allgather(&bytes, 1, MPI_INT, counts.data(), 1, MPI_INT, world);
    for (int rank = 1; rank < comm->nprocs; rank++)
      starts[rank] = starts[rank - 1] + counts[rank - 1];
    all.resize((starts.back() + counts.back()) / sizeof(Member));
    MPI_Allgatherv(mine.data(), bytes, MPI_BYTE, all.data(), counts.data(), starts.data(), MPI_BYTE,
                   world);
  } else
    all = mine;
  std::sort(all.begin(), all.end(),
            [](const Member &one, const Member &other) { return one.tag < other.tag; });

  species.clear();
  positions.clear();
  tags.clear();
  atom_of_place.clear();
  for (const Member &member : all) {
    species.push_back(member.element);
    positions.insert(positions.end(), member.x, member.x + 3);
    tags.push_back(member.tag);
    const auto found = local.find(member.tag);
    atom_of_place.push_back(found == local.end() ? -1 : found->second);
  }
}

/* ---------------------------------------------------------------------- */

Closest TransIPMolecule::closest() const
{
  Closest found;
  for (std::size_t i = 0; i < all.size(); i++)
    for (std::size_t j = 0; j < i; j++) {
      const double dx = all[i].x[0] - all[j].x[0];
      const double dy = all[i].x[1] - all[j].x[1];
      const double dz = all[i].x[2] - all[j].x[2];
      found.look(dx * dx + dy * dy + dz * dz, all[j].tag, all[i].tag);
    }
  return found;
}

/* ---------------------------------------------------------------------- */

void TransIPMolecule::share(std::vector<double> &values, int width)
{
  if (comm->nprocs == 1) return;
  values.resize(width * species.size());
  MPI_Bcast(values.data(), static_cast<int>(values.size()), MPI_DOUBLE, 0, world);
}

/* ---------------------------------------------------------------------- */

double TransIPMolecule::memory_usage() const
{
  return static_cast<double>(sizeof(Member) * (mine.capacity() + all.capacity()) +
                             sizeof(std::int64_t) * species.capacity() +
                             sizeof(double) * positions.capacity() +
                             sizeof(tagint) * tags.capacity() +
                             sizeof(int) * atom_of_place.capacity());
}
