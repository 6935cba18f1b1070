/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

#include "transip_guard.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "update.h"
#include "utils.h"

#include <mpi.h>

#include <algorithm>
#include <cstring>

using namespace LAMMPS_NS;

static constexpr const char *FORM = "guard every N warn above X, or guard every N stop above X";

/* ---------------------------------------------------------------------- */

void TransIPGuard::clear()
{
  every = 0;
  bound = 0.0;
  stops = warned = false;
}

/* ----------------------------------------------------------------------
   guard every N warn above X, guard every N stop above X
------------------------------------------------------------------------- */

int TransIPGuard::keyword(int narg, char **arg, int iarg)
{
  if (strcmp(arg[iarg], "guard") != 0) return 0;
  if (iarg + 5 >= narg) error->all(FLERR, "pair_style transip: keyword guard needs more values: {}", FORM);
  stops = strcmp(arg[iarg + 3], "stop") == 0;
  const char *expected[] = {"every", nullptr, stops ? "stop" : "warn", "above"};
  for (int k = 0; k < 4; k++)
    if (expected[k] && strcmp(arg[iarg + 1 + k], expected[k]) != 0)
      error->all(FLERR, "pair_style transip: expected {}; got {}", FORM, arg[iarg + 1 + k]);
  every = utils::bnumeric(FLERR, arg[iarg + 2], false, lmp);
  if (every < 1)
    error->all(FLERR, "pair_style transip: expected {} with 1 step or more; got {}", FORM,
               arg[iarg + 2]);
  bound = utils::numeric(FLERR, arg[iarg + 5], false, lmp);
  if (!(bound > 0.0))
    error->all(FLERR, "pair_style transip: expected {} with a distance above 0; got {}", FORM,
               arg[iarg + 5]);
  return 6;
}

/* ---------------------------------------------------------------------- */

bool TransIPGuard::is_due() const
{
  return every && update->ntimestep % every == 0;
}

/* ---------------------------------------------------------------------- */

bool TransIPGuard::is_measured() const
{
  return asked || is_due();
}

/* ----------------------------------------------------------------------
   the farthest atom of all ranks against the bound
------------------------------------------------------------------------- */

void TransIPGuard::judge(const std::vector<double> &distances, const std::vector<int> &atoms)
{
  distance.assign(std::max(atom->nmax, 1), 0.0);
  struct {
    double value;
    int rank;
  } here = {0.0, comm->me}, highest;
  tagint farthest = 0;
  for (std::size_t k = 0; k < atoms.size(); k++) {
    if (atoms[k] < 0) continue;
    distance[atoms[k]] = distances[k];
    if (distances[k] <= here.value) continue;
    here.value = distances[k];
    farthest = atom->tag[atoms[k]];
  }
  if (!is_due() || (warned && !stops)) return;
  MPI_Allreduce(&here, &highest, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  if (highest.value <= bound) return;
  MPI_Bcast(&farthest, 1, MPI_LMP_TAGINT, highest.rank, world);
  const std::string found =
      fmt::format("pair_style transip: step {}: atom {} is at a distance of {:.4g} from the training "
                  "set, above the bound of {:.4g}; 99 % of held-out atoms are within 1: do not trust "
                  "the forces",
                  update->ntimestep, farthest, highest.value, bound);
  if (stops) error->all(FLERR, "{}", found);
  warned = true;
  if (comm->me == 0) error->warning(FLERR, "{}", found);
}

/* ----------------------------------------------------------------------
   for fix pair: `fix ID all pair N transip distance 1`
------------------------------------------------------------------------- */

void *TransIPGuard::extract(const char *name, int &dim)
{
  if (strcmp(name, "distance_flag") != 0) return nullptr;
  dim = 0;
  return &asked;
}

/* ---------------------------------------------------------------------- */

void *TransIPGuard::extract_peratom(const char *name, int &columns)
{
  if (strcmp(name, "distance") != 0) return nullptr;
  columns = 0;
  const auto most = static_cast<std::size_t>(std::max(atom->nmax, 1));
  if (distance.size() < most) distance.resize(most, 0.0);
  return distance.data();
}
