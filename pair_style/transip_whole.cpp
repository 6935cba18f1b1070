/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

#include "transip_whole.h"

#include "atom.h"
#include "domain.h"

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

TransIPWhole::TransIPWhole(LAMMPS *lmp) : Pointers(lmp) {}

/* ---------------------------------------------------------------------- */

void TransIPWhole::gather(const std::vector<std::int64_t> &elements)
{
  atom_of_place.clear();
  species.clear();
  positions.clear();
  for (int i = 0; i < atom->nlocal; i++) {
    const std::int64_t element = elements[atom->type[i]];
    if (element == 0) continue;
    atom_of_place.push_back(i);
    species.push_back(element);
    positions.insert(positions.end(), atom->x[i], atom->x[i] + 3);
  }
}

/* ---------------------------------------------------------------------- */

transip::StructureRequest TransIPWhole::request() const
{
  transip::StructureRequest request;
  request.species = species;
  request.positions = positions;
  request.box = {domain->xprd, 0.0, 0.0, domain->xy, domain->yprd, 0.0,
                 domain->xz,   domain->yz, domain->zprd};
  request.periodic = {domain->xperiodic != 0, domain->yperiodic != 0, domain->zperiodic != 0};
  return request;
}

/* ---------------------------------------------------------------------- */

double TransIPWhole::memory_usage() const
{
  return static_cast<double>(sizeof(int) * atom_of_place.capacity() +
                             sizeof(std::int64_t) * species.capacity() +
                             sizeof(double) * positions.capacity());
}
