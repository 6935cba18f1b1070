/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This pair style derives from LAMMPS's class Pair and is distributed under
   the GNU General Public License, version 2 or later: see LICENSE in this
   directory.
------------------------------------------------------------------------- */

#include "pair_transip.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "update.h"
#include "utils.h"

#include "transip/elements.h"
#include "transip/error.h"
#include "transip/model.h"
#include "transip/units.h"

#include <cstring>
#include <optional>
#include <string>
#include <vector>

using namespace LAMMPS_NS;

// the model is asked for no pairs, but LAMMPS wants some cutoff of every pair style
static constexpr double NOMINAL_CUTOFF = 1.0;

struct PairTransIP::Impl {
  std::optional<transip::Model> model;
  std::string path;
  int charge = 0;
  int multiplicity = 1;
  std::vector<std::int64_t> element_of_type;    // indexed by atom type, 1 .. ntypes
  std::vector<std::int64_t> species;            // of the local atoms, this step
  transip::Result result;
  double energy_unit = 1.0;    // eV in LAMMPS's energy unit
};

/* ---------------------------------------------------------------------- */

PairTransIP::PairTransIP(LAMMPS *lmp) : Pair(lmp), impl(std::make_unique<Impl>())
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  centroidstressflag = CENTROID_NOTAVAIL;
}

/* ---------------------------------------------------------------------- */

PairTransIP::~PairTransIP()
{
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

/* ---------------------------------------------------------------------- */

void PairTransIP::allocate()
{
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  for (int i = 1; i < n; i++)
    for (int j = i; j < n; j++) setflag[i][j] = 0;
}

/* ----------------------------------------------------------------------
   pair_style transip file keyword value ...
------------------------------------------------------------------------- */

void PairTransIP::settings(int narg, char **arg)
{
  if (narg < 1)
    error->all(FLERR,
               "pair_style transip needs a model file: pair_style transip model.pt [device "
               "auto|cpu|cuda|cuda:N] [charge Q] [multiplicity M]");

  std::string device = "auto";
  impl->charge = 0;
  impl->multiplicity = 1;
  for (int iarg = 1; iarg < narg; iarg += 2) {
    if (iarg + 1 == narg)
      error->all(FLERR, "pair_style transip: keyword {} needs a value", arg[iarg]);
    if (strcmp(arg[iarg], "device") == 0)
      device = arg[iarg + 1];
    else if (strcmp(arg[iarg], "charge") == 0)
      impl->charge = utils::inumeric(FLERR, arg[iarg + 1], false, lmp);
    else if (strcmp(arg[iarg], "multiplicity") == 0)
      impl->multiplicity = utils::inumeric(FLERR, arg[iarg + 1], false, lmp);
    else
      error->all(FLERR,
                 "pair_style transip: unknown keyword {}; known are device, charge, multiplicity",
                 arg[iarg]);
  }

  try {
    // as many threads as LAMMPS itself was told to use, by OMP_NUM_THREADS or the package command
    transip::set_threads(comm->nthreads);
    impl->path = arg[0];
    impl->model.emplace(impl->path, device);
    impl->model->check_charge(impl->charge, impl->multiplicity);
  } catch (const transip::Error &problem) {
    error->all(FLERR, "pair_style transip: {}", problem.what());
  }

  const transip::Metadata &card = impl->model->metadata();
  if (card.cutoff)
    error->all(FLERR,
               "pair_style transip: {} is a local model (cutoff {} Angstrom); this version "
               "evaluates all-to-all models",
               impl->path, *card.cutoff);
  if (!card.conservative && comm->me == 0)
    error->warning(FLERR,
                   "pair_style transip: {} has a direct force head: its forces are not the gradient "
                   "of the energy, and NVE runs will drift",
                   impl->path);
  if (comm->me == 0)
    utils::logmesg(lmp, "TransIP model {}: {} weights on {}, elements {}\n  trained on: {}\n",
                   impl->path, card.dtype, impl->model->device(), transip::symbols(card.species),
                   card.training_data.empty() ? "(not said)"
                                              : card.training_data + ", " + card.level_of_theory);
}

/* ----------------------------------------------------------------------
   pair_coeff * * El1 El2 ...   one element symbol for each atom type
------------------------------------------------------------------------- */

void PairTransIP::coeff(int narg, char **arg)
{
  if (!allocated) allocate();
  const std::string expected = fmt::format("pair_coeff * * followed by {} element symbol{}, one for "
                                           "each atom type; the model knows {}",
                                           atom->ntypes, atom->ntypes == 1 ? "" : "s",
                                           transip::symbols(impl->model->metadata().species));
  if (narg != 2 + atom->ntypes)
    error->all(FLERR, "pair_style transip: expected {}; got {} symbol{}", expected, narg - 2,
               narg == 3 ? "" : "s");

  impl->element_of_type.assign(atom->ntypes + 1, 0);
  for (int type = 1; type <= atom->ntypes; type++) {
    const char *symbol = arg[type + 1];
    const int number = transip::atomic_number(symbol);
    if (number == 0)
      error->all(FLERR, "pair_style transip: '{}' is no element symbol; expected {}", symbol,
                 expected);
    try {
      impl->model->check_species(number);
    } catch (const transip::Error &problem) {
      error->all(FLERR, "pair_style transip: {}", problem.what());
    }
    impl->element_of_type[type] = number;
  }

  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = i; j <= atom->ntypes; j++) setflag[i][j] = 1;
}

/* ----------------------------------------------------------------------
   needs no neighbor list: every atom attends to every other
------------------------------------------------------------------------- */

void PairTransIP::init_style()
{
  const std::string units = update->unit_style;
  if (units == "metal")
    impl->energy_unit = 1.0;
  else if (units == "real")
    impl->energy_unit = transip::units::kcal_per_mol_per_ev;
  else
    error->all(FLERR, "pair_style transip works in units metal or real, not units {}", units);

  if (domain->xperiodic || domain->yperiodic || domain->zperiodic)
    error->all(FLERR,
               "pair_style transip: the box is periodic, and model {} attends all-to-all: it "
               "describes isolated molecules only. Put `boundary s s s` at the top of the input",
               impl->path);
  if (comm->nprocs > 1)
    error->all(FLERR,
               "pair_style transip: an all-to-all model runs on one MPI rank, not on {}. Start "
               "LAMMPS without mpirun, or with -np 1",
               comm->nprocs);
}

/* ---------------------------------------------------------------------- */

double PairTransIP::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "pair_style transip: pair_coeff * * was not given");
  return NOMINAL_CUTOFF;
}

/* ----------------------------------------------------------------------
   evaluate the molecule and add forces, energy and virial
------------------------------------------------------------------------- */

void PairTransIP::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  if (vflag_atom)
    error->all(FLERR,
               "pair_style transip has no per-atom virial: the energy of an atom depends on all "
               "others. Use the global virial (compute pressure) instead");

  gather();
  const int nlocal = atom->nlocal;
  transip::Request request;
  request.species = impl->species;
  request.positions = {nlocal ? atom->x[0] : nullptr, static_cast<std::size_t>(3 * nlocal)};
  request.charge = impl->charge;
  request.multiplicity = impl->multiplicity;
  try {
    impl->model->evaluate(request, impl->result);
  } catch (const transip::NotFinite &problem) {
    const auto i = static_cast<int>(problem.row());
    error->one(FLERR, "pair_style transip: step {}: {}, for atom {} at {:.6} {:.6} {:.6}",
               update->ntimestep, problem.what(), atom->tag[i], atom->x[i][0], atom->x[i][1],
               atom->x[i][2]);
  } catch (const transip::Error &problem) {
    error->one(FLERR, "pair_style transip: step {}: {}", update->ntimestep, problem.what());
  }

  const double unit = impl->energy_unit;
  const std::vector<double> &forces = impl->result.forces;
  double **f = atom->f;
  for (int i = 0; i < nlocal; i++)
    for (int d = 0; d < 3; d++) f[i][d] += unit * forces[3 * i + d];

  if (eflag_global) eng_vdwl += unit * impl->result.energy;
  if (eflag_atom)
    for (int i = 0; i < nlocal; i++) eatom[i] += unit * impl->result.energies[i];
  if (vflag_fdotr) virial_fdotr_compute();
}

/* ----------------------------------------------------------------------
   atomic numbers of the local atoms; their order changes between steps
------------------------------------------------------------------------- */

void PairTransIP::gather()
{
  impl->species.resize(atom->nlocal);
  for (int i = 0; i < atom->nlocal; i++)
    impl->species[i] = impl->element_of_type[atom->type[i]];
}

/* ---------------------------------------------------------------------- */

double PairTransIP::memory_usage()
{
  return static_cast<double>(impl->species.capacity() * sizeof(std::int64_t) +
                             (impl->result.energies.capacity() + impl->result.forces.capacity()) *
                                 sizeof(double));
}
