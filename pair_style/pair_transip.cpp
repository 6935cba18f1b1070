/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This pair style derives from LAMMPS's class Pair and is distributed under
   the GNU General Public License, version 2 or later: see LICENSE in this
   directory.
------------------------------------------------------------------------- */

#include "pair_transip.h"

#include "transip_committee.h"
#include "transip_guard.h"
#include "transip_halo_exchange.h"
#include "transip_molecule.h"
#include "transip_path.h"
#include "transip_rows.h"
#include "transip_whole.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "fix.h"
#include "force.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "platform.h"
#include "update.h"
#include "utils.h"

#include "transip/elements.h"
#include "transip/error.h"
#include "transip/model.h"
#include "transip/symmetry.h"
#include "transip/text.h"
#include "transip/units.h"
#include "transip/xyz.h"

#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

using namespace LAMMPS_NS;

// an all-to-all model is asked for no pairs, but LAMMPS wants some cutoff of every pair style
static constexpr double NOMINAL_CUTOFF = 1.0;

// where LAMMPS's components of a virial, xx yy zz xy xz yz yx zx zy, lie in a row-major matrix
static constexpr int VIRIAL_PLACE[9] = {0, 4, 8, 1, 2, 5, 3, 6, 7};

// evaluations whose time is printed once in the log, the first few left out
static constexpr int TIMED = 100, UNTIMED = 5;

// number of this process among those of the communicator that share its node
static int node_rank(MPI_Comm world)
{
  MPI_Comm node;
  int rank;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &rank);
  MPI_Comm_free(&node);
  return rank;
}

// whether an argument behind the first model is another
static bool is_model_file(const std::string &argument)
{
  return utils::strmatch(argument, "\\.pt2?$") || utils::strmatch(argument, "\\.pt#\\d+$");
}

struct PairTransIP::Impl {
  Impl(LAMMPS *lmp, Pair *pair) :
      molecule(lmp), rows(lmp), whole(lmp), exchange(lmp, pair), committee(lmp, pair), guard(lmp)
  {
  }

  std::optional<transip::Model> model;
  std::string path;
  int charge = 0;
  int multiplicity = 1;
  std::vector<std::int64_t> element_of_type;    // indexed by atom type, 1 .. ntypes; 0 for NULL
  TransIPMolecule molecule;                     // of an all-to-all model, this step
  TransIPRows rows;                             // of a local model, since the last neighbor list
  TransIPWhole whole;                           // of a model that finds neighbours itself
  bool by_whole = false;                        // in this run; no neighbor list is there
  TransIPHaloExchange exchange;                 // of a local model on several ranks
  TransIPCommittee committee;                   // models beside the first
  TransIPGuard guard;                           // distances from the training set
  transip::Result result;
  double energy_unit = 1.0;    // eV in LAMMPS's energy unit
  std::string reference;       // file of the frame's reference, may be empty
  bool warned = false;         // of atoms too close, in this run
  int calls = 0;               // of compute() since the model was loaded
  std::uint64_t geometries = 0;    // that were evaluated
  double seconds = 0.0;        // of the timed calls, and of these
  double in_model = 0.0;       // in the model
};

/* ---------------------------------------------------------------------- */

PairTransIP::PairTransIP(LAMMPS *lmp) : Pair(lmp), impl(std::make_unique<Impl>(lmp, this))
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  centroidstressflag = CENTROID_AVAIL;
}

/* ---------------------------------------------------------------------- */

PairTransIP::~PairTransIP()
{
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
    memory->destroy(cutghost);
  }
}

/* ---------------------------------------------------------------------- */

void PairTransIP::allocate()
{
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  memory->create(cutghost, n, n, "pair:cutghost");
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
               "pair_style transip needs a model file: pair_style transip model.pt [more.pt ...] "
               "[device auto|cpu|cuda|cuda:N] [charge Q] [multiplicity M] [check yes|no] "
               "[threads N] [kernels auto|native|torch] "
               "[symmetry none|average N [inversion]|frame|random SEED] [reference FILE] "
               "[deviation FILE every N] [stop above X] [dump FILE above Y] [force first|mean] "
               "[guard every N warn|stop above X]");

  TransIPCommittee &committee = impl->committee;
  committee.clear();
  impl->guard.clear();
  int files = 1;
  while (files < narg && is_model_file(arg[files])) files++;

  bool check = true;
  // as many threads as LAMMPS itself was set to use, by OMP_NUM_THREADS or the package command
  int threads = comm->nthreads;
  std::string device = "auto", kernels = "auto";
  impl->charge = 0;
  impl->multiplicity = 1;
  impl->reference.clear();
  transip::Symmetry symmetry;
  for (int iarg = files; iarg < narg; iarg += 2) {
    int taken = committee.keyword(narg, arg, iarg);
    if (taken == 0) taken = impl->guard.keyword(narg, arg, iarg);
    if (taken > 0) {
      iarg += taken - 2;
      continue;
    }
    if (iarg + 1 == narg)
      error->all(FLERR, "pair_style transip: keyword {} needs a value", arg[iarg]);
    if (strcmp(arg[iarg], "device") == 0)
      device = arg[iarg + 1];
    else if (strcmp(arg[iarg], "charge") == 0)
      impl->charge = utils::inumeric(FLERR, arg[iarg + 1], false, lmp);
    else if (strcmp(arg[iarg], "multiplicity") == 0)
      impl->multiplicity = utils::inumeric(FLERR, arg[iarg + 1], false, lmp);
    else if (strcmp(arg[iarg], "check") == 0)
      check = utils::logical(FLERR, arg[iarg + 1], false, lmp) != 0;
    else if (strcmp(arg[iarg], "kernels") == 0)
      kernels = arg[iarg + 1];
    else if (strcmp(arg[iarg], "reference") == 0)
      impl->reference = arg[iarg + 1];
    else if (strcmp(arg[iarg], "symmetry") == 0) {
      const std::vector<std::string> words(arg, arg + narg);
      std::size_t next = iarg + 1;
      try {
        symmetry = transip::Symmetry::parse(words, next);
      } catch (const transip::Error &problem) {
        error->all(FLERR, "pair_style transip: {}", transip::printable(problem.what()));
      }
      iarg = static_cast<int>(next) - 2;
    } else if (strcmp(arg[iarg], "threads") == 0) {
      threads = utils::inumeric(FLERR, arg[iarg + 1], false, lmp);
      if (threads < 1)
        error->all(FLERR, "pair_style transip: threads must be 1 or more, got {}", threads);
    } else
      error->all(FLERR,
                 "pair_style transip: unknown keyword {}; known are device, charge, multiplicity, "
                 "check, threads, kernels, symmetry, reference, deviation, stop, dump, force, guard",
                 arg[iarg]);
  }

  if (!impl->reference.empty() && symmetry.mode != transip::Symmetry::Mode::frame)
    error->all(FLERR, "pair_style transip: reference goes with symmetry frame; got symmetry {}",
               symmetry.text());

  impl->calls = 0;
  impl->seconds = 0.0;
  std::vector<std::string> paths;
  try {
    for (int i = 0; i < files; i++)
      for (std::string &name : transip::models_in(transip_path(arg[i])))
        paths.push_back(std::move(name));
    files = static_cast<int>(paths.size());
    for (int i = 0; i < files; i++) {
      transip::Model model(paths[i], device, node_rank(world), kernels);
      model.set_threads(threads);
      model.check_charge(impl->charge, impl->multiplicity);
      // on several ranks the lists are LAMMPS's
      if (check && !model.check_reference(comm->nprocs == 1) && comm->me == 0)
        utils::logmesg(lmp, "TransIP model {} brings no reference structure: what it gives here was "
                       "not compared with what it gave where it was exported\n",
                       transip::printable(paths[i]));
      model.set_symmetry(symmetry);
      if (i > 0) {
        model.share_neighbours(*impl->model);
        committee.others.push_back(std::move(model));
      } else
        impl->model.emplace(std::move(model));
    }
    if (impl->guard.is_set()) impl->model->check_distances();
  } catch (const transip::Error &problem) {
    error->all(FLERR, "pair_style transip: {}", transip::printable(problem.what()));
  }
  impl->path = paths[0];
  committee.check();
  for (int i = 1; i < files; i++) check_alike(committee.others[i - 1], paths[i]);
  if (symmetry.mode != transip::Symmetry::Mode::none && comm->me == 0)
    utils::logmesg(lmp, "TransIP symmetry: {}\n", symmetry.text());

  // a halo of tokens needs the neighbors of ghosts; this is asked of hybrid styles right after
  ghostneigh = ghosts() == TransIPGhosts::TOKENS ? 1 : 0;
  comm_forward = impl->model->exchanges_halo() ? TransIPHaloExchange::NUMBERS : 0;
  comm_reverse = committee.comm_reverse();
  const bool by_rank =
      comm->nprocs > 1 && impl->model->device() != "cpu" && device.find(':') == std::string::npos;
  for (int i = 0; i < files; i++)
    log_model(i ? committee.others[i - 1] : *impl->model, paths[i], by_rank);
}

/* ---------------------------------------------------------------------- */

void PairTransIP::log_model(const transip::Model &model, const std::string &path, bool by_rank)
{
  if (comm->me != 0) return;
  if (!model.notice().empty())
    error->warning(FLERR, "pair_style transip: {}", transip::printable(model.notice()));
  const transip::Metadata &card = model.metadata();
  if (!card.conservative)
    error->warning(FLERR,
                   "pair_style transip: {} has a direct force head: its forces are not the "
                   "gradient of the energy, and NVE runs will drift",
                   path);
  utils::logmesg(lmp, "TransIP model {}: {} weights on {}, {}, elements {}\n  trained on: {}\n"
                 "  validated: {}\n",
                 transip::printable(path), card.dtype,
                 by_rank ? "cuda, devices by node-local rank" : model.device(), model.runs_by(),
                 transip::symbols(card.species),
                 card.training_data.empty() ? "(not given)"
                                            : card.training_data + ", " + card.level_of_theory,
                 card.certificate.empty() ? "no; type `transip-md validate`" : card.certificate);
  if (comm->nprocs > 1 && model.exchanges_halo() && model.device() != "cpu")
    utils::logmesg(lmp, "  halo atoms: from device to device {}\n",
                   impl->exchange.takes_device_memory()
                       ? "by CUDA-aware MPI"
                       : "by way of the host, MPI is not CUDA-aware");
}

/* ----------------------------------------------------------------------
   models of a committee are given the same atoms and neighbours
------------------------------------------------------------------------- */

void PairTransIP::check_alike(const transip::Model &model, const std::string &path) const
{
  const auto kind = [](const transip::Model &one) {
    return std::string(one.metadata().cutoff ? "local" : "all-to-all") + ", run by " + one.runs_by();
  };
  if (kind(model) != kind(*impl->model))
    error->all(FLERR,
               "pair_style transip: models of a committee must be of one kind: {} is {}; {} is {}",
               impl->path, kind(*impl->model), path, kind(model));
}

/* ----------------------------------------------------------------------
   pair_coeff * * El1 El2 ...   one element symbol for each atom type
------------------------------------------------------------------------- */

void PairTransIP::coeff(int narg, char **arg)
{
  if (!allocated) allocate();
  const std::string expected = fmt::format("pair_coeff * * followed by {} element symbol{}, one "
                                           "for each atom type; the model knows {}",
                                           atom->ntypes, atom->ntypes == 1 ? "" : "s",
                                           transip::symbols(impl->model->metadata().species));
  if (narg != 2 + atom->ntypes)
    error->all(FLERR, "pair_style transip: expected {}; got {} symbol{}", expected, narg - 2,
               narg == 3 ? "" : "s");
  if (strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, "pair_style transip: expected {}; got pair_coeff {} {}", expected, arg[0],
               arg[1]);

  impl->element_of_type.assign(atom->ntypes + 1, 0);
  for (int type = 1; type <= atom->ntypes; type++) {
    const char *symbol = arg[type + 1];
    if (strcmp(symbol, "NULL") == 0) continue;
    const int number = transip::atomic_number(symbol);
    if (number == 0)
      error->all(FLERR, "pair_style transip: '{}' is no element symbol; expected {}", symbol,
                 expected);
    try {
      impl->model->check_species(number);
      for (const transip::Model &model : impl->committee.others) model.check_species(number);
    } catch (const transip::Error &problem) {
      error->all(FLERR, "pair_style transip: {}", transip::printable(problem.what()));
    }
    impl->element_of_type[type] = number;
  }

  int mapped = 0;
  for (int i = 1; i <= atom->ntypes; i++) {
    if (impl->element_of_type[i] == 0) continue;
    mapped++;
    for (int j = i; j <= atom->ntypes; j++)
      if (impl->element_of_type[j] != 0) setflag[i][j] = 1;
  }
  if (mapped == 0)
    error->all(FLERR, "pair_style transip: every type is NULL; expected {}", expected);
}

/* ---------------------------------------------------------------------- */

void PairTransIP::init_style()
{
  impl->warned = false;
  impl->guard.begin_run();
  impl->by_whole = false;
  const std::string units = update->unit_style;
  if (units == "metal")
    impl->energy_unit = 1.0;
  else if (units == "real")
    impl->energy_unit = transip::units::kcal_per_mol_per_ev;
  else
    error->all(FLERR, "pair_style transip works in units metal or real, not units {}", units);
  if (!atom->tag_enable)
    error->all(FLERR,
               "pair_style transip needs atom IDs: take `atom_modify id no` out of the input");

  if (impl->model->symmetry().needs_thermostat()) check_thermostat();
  if (impl->model->metadata().cutoff)
    init_local();
  else if (domain->xperiodic || domain->yperiodic || domain->zperiodic)
    error->all(FLERR,
               "pair_style transip: the box is periodic, and model {} attends all-to-all: it "
               "describes isolated molecules only. Put `boundary s s s` at the top of the input",
               impl->path);
}

/* ----------------------------------------------------------------------
   random rotations bring energy at every step, which something must take up
------------------------------------------------------------------------- */

void PairTransIP::check_thermostat()
{
  const std::string otherwise = fmt::format("Take symmetry average N, or type symmetry {} forced",
                                            impl->model->symmetry().text());
  if (update->whichflag == 2)
    error->all(FLERR, "pair_style transip: symmetry random has no minimum to be found. {}",
               otherwise);
  bool moves = false, thermostat = false;
  for (const Fix *fix : modify->get_fix_list()) {
    const std::string style = fix->style;
    if (fix->time_integrate) moves = true;
    for (const char *inside : {"nvt", "npt", "nvk"})
      if (style.find(inside) != std::string::npos) thermostat = true;
    for (const char *start : {"temp/", "langevin", "gle", "gld", "ffl", "brownian", "bocs"})
      if (utils::strmatch(style, fmt::format("^{}", start))) thermostat = true;
  }
  if (moves && !thermostat)
    error->all(FLERR,
               "pair_style transip: symmetry random brings energy at every step, and no thermostat "
               "is there to take it up. Add one, such as fix langevin. {}",
               otherwise);
}

/* ----------------------------------------------------------------------
   what ghosts are: on several ranks their features come from their owners, layer by layer, or,
   of a model that knows no such exchange, are computed anew
------------------------------------------------------------------------- */

TransIPGhosts PairTransIP::ghosts() const
{
  if (comm->nprocs == 1 || !impl->model->metadata().cutoff) return TransIPGhosts::IMAGES;
  return impl->model->exchanges_halo() ? TransIPGhosts::EXCHANGED : TransIPGhosts::TOKENS;
}

/* ----------------------------------------------------------------------
   whether the model finds the neighbors of all atoms itself, on a device; it knows no pairs that
   neigh_modify takes out
------------------------------------------------------------------------- */

bool PairTransIP::finds_neighbors() const
{
  const bool excluded = neighbor->nex_type || neighbor->nex_group || neighbor->nex_mol;
  // a hybrid style forms the virial of forces on ghosts, which are not there
  return force->pair == this && comm->nprocs == 1 && impl->model->evaluates_structures() &&
      !impl->guard.is_set() && !excluded;
}

/* ----------------------------------------------------------------------
   a local model needs a full neighbor list, and where ghosts are tokens a halo
------------------------------------------------------------------------- */

void PairTransIP::init_local()
{
  if (!force->newton_pair)
    error->all(FLERR,
               "pair_style transip: forces on ghost atoms go back to their owners, which needs "
               "newton pair on. Put `newton on` before the box is made");
  if (atom->molecular != Atom::ATOMIC)
    for (int i = 1; i < 4; i++)
      if (force->special_lj[i] == 0.0 && force->special_coul[i] == 0.0)
        error->all(FLERR,
                   "pair_style transip: special_bonds takes bonded atoms out of the neighbor list, "
                   "and the model wants them all. Type `special_bonds lj/coul 1.0 1.0 1.0`");

  impl->by_whole = finds_neighbors();
  // what lies beyond the box is on the device alone, so that forces on ghosts tell nothing
  no_virial_fdotr_compute = impl->by_whole ? 1 : 0;
  if (impl->by_whole) return;
  if (ghosts() != TransIPGhosts::TOKENS) {
    neighbor->add_request(this, NeighConst::REQ_FULL);
    return;
  }
  neighbor->add_request(this, NeighConst::REQ_FULL | NeighConst::REQ_GHOST);
  double halo = *impl->model->metadata().interaction_range + neighbor->skin;
  for (const transip::Model &model : impl->committee.others)
    halo = MAX(halo, *model.metadata().interaction_range + neighbor->skin);
  if (comm->mode != Comm::SINGLE)
    error->all(FLERR,
               "pair_style transip needs one ghost cutoff for all atoms. Type `comm_modify mode "
               "single cutoff {:.6g}`",
               halo);
  comm->cutghostuser = MAX(comm->cutghostuser, halo);
}

/* ---------------------------------------------------------------------- */

double PairTransIP::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "pair_style transip: pair_coeff * * was not given");
  const double widest = cutoff();
  cutghost[i][j] = cutghost[j][i] = widest;
  return widest;
}

/* ----------------------------------------------------------------------
   the widest of all models
------------------------------------------------------------------------- */

double PairTransIP::cutoff() const
{
  double widest = impl->model->metadata().cutoff.value_or(NOMINAL_CUTOFF);
  for (const transip::Model &model : impl->committee.others)
    widest = MAX(widest, model.metadata().cutoff.value_or(NOMINAL_CUTOFF));
  return widest;
}

/* ----------------------------------------------------------------------
   add forces, energy and virial
------------------------------------------------------------------------- */

void PairTransIP::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  const double start = platform::walltime();
  if (impl->by_whole)
    compute_whole();
  else if (impl->model->metadata().cutoff)
    compute_local();
  else
    compute_molecule();
  if (vflag_fdotr) virial_fdotr_compute();
  tell_time(platform::walltime() - start);
}

/* ----------------------------------------------------------------------
   once: what a step costs in the model, and what in getting things into and out of it
------------------------------------------------------------------------- */

void PairTransIP::tell_time(double seconds)
{
  impl->calls++;
  if (impl->calls == UNTIMED) impl->in_model = 0.0;
  if (impl->calls <= UNTIMED || impl->calls > UNTIMED + TIMED) return;
  impl->seconds += seconds;
  if (impl->calls < UNTIMED + TIMED || comm->me != 0) return;
  utils::logmesg(lmp, "TransIP: {:.4g} ms a step in the model, {:.4g} ms around it\n",
                 1000.0 * impl->in_model / TIMED,
                 1000.0 * (impl->seconds - impl->in_model) / TIMED);
}

/* ----------------------------------------------------------------------
   all atoms of this rank, and as many ghosts as they see
------------------------------------------------------------------------- */

void PairTransIP::compute_local()
{
  TransIPRows &rows = impl->rows;
  const bool exchanged = ghosts() == TransIPGhosts::EXCHANGED;
  const auto &closest_known = impl->model->metadata().closest_pair;
  if (neighbor->ago == 0 && exchanged) impl->exchange.plan(list, impl->element_of_type);
  if (neighbor->ago == 0 || !rows.up_to_date())
    // until the next list is due no two atoms come nearer to each other by more than the skin
    rows.build(list, impl->element_of_type, ghosts(), impl->exchange,
               closest_known ? *closest_known + neighbor->skin : 0.0);
  else
    rows.update();
  if (!impl->warned) warn_if_close(rows.closest());
  transip::Request request;
  request.species = rows.species;
  request.positions = rows.positions;
  if (exchanged) request.exchange = &impl->exchange;
  request.owner = rows.owner;
  request.owned = rows.owned;
  // native kernels pass over pairs beyond the cutoff as they go
  const auto give_neighbours = [&rows, &request](const transip::Model &model) {
    const bool native = model.is_native();
    if (!native) rows.filter(*model.metadata().cutoff);
    request.first = native ? rows.first : rows.first_within;
    request.neighbours = native ? rows.neighbours : rows.within;
  };
  evaluate(request, give_neighbours,
           [&rows, this](std::size_t row) { return atom->tag[rows.atom_of_row[row]]; });

  const double unit = impl->energy_unit;
  const std::vector<double> &forces = impl->result.forces;
  for (std::size_t row = 0; row < rows.atom_of_row.size(); row++)
    add_force(rows.atom_of_row[row], &forces[3 * row]);
  const std::vector<double> &virials = impl->result.virials;
  for (std::size_t t = 0; 9 * t < virials.size(); t++)
    add_virial(rows.atom_of_row[t], &virials[9 * t], unit);
  if (eflag_global) eng_vdwl += unit * impl->result.energy;
  if (eflag_atom)
    for (std::size_t t = 0; t < rows.species.size(); t++)
      if (rows.owned[t]) eatom[rows.atom_of_row[t]] += unit * impl->result.energies[t];
  if (impl->committee.is_judged()) impl->committee.judge_rows(rows, impl->element_of_type, unit);
  if (!impl->guard.is_measured()) return;
  // tokens are the first rows; those of other ranks do not count
  std::vector<int> atoms(rows.atom_of_row.begin(), rows.atom_of_row.begin() + rows.species.size());
  for (std::size_t t = 0; t < atoms.size(); t++)
    if (!rows.owned[t]) atoms[t] = -1;
  impl->guard.judge(impl->result.distances, atoms);
}

/* ----------------------------------------------------------------------
   all atoms and the box, on the device
------------------------------------------------------------------------- */

void PairTransIP::compute_whole()
{
  TransIPWhole &whole = impl->whole;
  TransIPCommittee &committee = impl->committee;
  whole.gather(impl->element_of_type);
  transip::StructureRequest request = whole.request();
  request.charge = impl->charge;
  request.multiplicity = impl->multiplicity;
  request.virial = vflag_global || committee.is_judged();
  request.energies = eflag_atom != 0;
  request.virials = wants_virials();
  request.nearest = !impl->warned && impl->model->metadata().closest_pair;
  const bool looks_for_nearest = request.nearest;
  const auto tag = [&](std::size_t place) { return atom->tag[whole.atom_of_place[place]]; };
  std::vector<transip::StructureResult> results(committee.is_evaluated() ? committee.count() : 1);
  for (std::size_t k = 0; k < results.size(); k++) {
    transip::Model &model = k ? committee.others[k - 1] : *impl->model;
    timed(
        request.positions,
        [&] {
          // fix pair may ask for distances
          if (impl->guard.is_measured()) model.check_distances();
          model.evaluate_structure(request, results[k]);
        },
        tag);
    request.nearest = false;
    // virials of atoms are of the first, or of all in the mean
    request.virials = committee.mean && wants_virials();
  }

  if (looks_for_nearest && !whole.atom_of_place.empty()) {
    const transip::StructureResult &first = results[0];
    Closest closest;
    closest.look(first.nearest * first.nearest, tag(first.pair[0]), tag(first.pair[1]));
    warn_if_close(closest);
  }

  // of the first model, or of all in the mean
  const std::size_t counted = committee.mean ? results.size() : 1;
  const double share = impl->energy_unit / static_cast<double>(counted);
  for (std::size_t k = 0; k < counted; k++) {
    const transip::StructureResult &result = results[k];
    for (std::size_t place = 0; place < whole.atom_of_place.size(); place++)
      for (int x = 0; x < 3; x++)
        atom->f[whole.atom_of_place[place]][x] += share * result.forces[3 * place + x];
    if (eflag_global) eng_vdwl += share * result.energy;
    for (std::size_t place = 0; place < result.energies.size(); place++)
      eatom[whole.atom_of_place[place]] += share * result.energies[place];
    for (std::size_t place = 0; 9 * place < result.virials.size(); place++)
      add_virial(whole.atom_of_place[place], &result.virials[9 * place], share);
    if (vflag_global)
      for (int i = 0; i < 6; i++) virial[i] += share * result.virial[VIRIAL_PLACE[i]];
  }
  if (committee.is_judged())
    committee.judge_whole(whole, results, impl->element_of_type, impl->energy_unit);
}

/* ----------------------------------------------------------------------
   the whole molecule is evaluated once, by rank 0
------------------------------------------------------------------------- */

void PairTransIP::compute_molecule()
{
  TransIPMolecule &molecule = impl->molecule;
  molecule.gather(impl->element_of_type);
  transip::Result &result = impl->result;
  if (comm->me == 0) {
    warn_if_close(molecule.closest());
    transip::Request request;
    request.species = molecule.species;
    request.positions = molecule.positions;
    if (impl->model->needs_reference()) take_reference(molecule);
    evaluate(request, [](const transip::Model &) {},
             [&molecule](std::size_t place) { return molecule.tags[place]; });
  }
  molecule.share(result.energies, 1);
  molecule.share(result.forces, 3);
  if (wants_virials()) molecule.share(result.virials, 9);

  const double unit = impl->energy_unit;
  for (std::size_t place = 0; place < molecule.atom_of_place.size(); place++) {
    const int i = molecule.atom_of_place[place];
    if (i < 0) continue;
    add_force(i, &result.forces[3 * place]);
    if (eflag_global) eng_vdwl += unit * result.energies[place];
    if (eflag_atom) eatom[i] += unit * result.energies[place];
    if (wants_virials()) add_virial(i, &result.virials[9 * place], impl->energy_unit);
  }
  if (impl->committee.is_judged())
    impl->committee.judge_molecule(molecule, impl->element_of_type, unit);
  if (!impl->guard.is_measured()) return;
  molecule.share(result.distances, 1);
  impl->guard.judge(result.distances, molecule.atom_of_place);
}

/* ----------------------------------------------------------------------
   rank 0, once: the frame's reference is what its file holds, or this structure
------------------------------------------------------------------------- */

void PairTransIP::take_reference(const TransIPMolecule &molecule)
{
  const std::string &file = impl->reference;
  try {
    if (!file.empty() && platform::file_is_readable(file)) {
      const transip::Structure kept = transip::read_xyz(file);
      impl->model->set_reference(kept.species, kept.positions);
      for (transip::Model &model : impl->committee.others)
        model.set_reference(kept.species, kept.positions);
      utils::logmesg(lmp, "TransIP frame: the reference is that of {}\n", file);
      return;
    }
    impl->model->set_reference(molecule.species, molecule.positions);
    for (transip::Model &model : impl->committee.others)
      model.set_reference(molecule.species, molecule.positions);
    const std::string origin = fmt::format("the structure of step {}", update->ntimestep);
    if (!file.empty())
      transip::write_xyz(file, molecule.species, molecule.positions, "reference: " + origin);
    utils::logmesg(lmp, "TransIP frame: the reference is {}; {}\n", origin,
                   file.empty() ? "to keep it for a restart, type `reference FILE`"
                                : "written to " + file);
  } catch (const transip::Error &problem) {
    error->one(FLERR, "pair_style transip: {}", transip::printable(problem.what()));
  }
}

/* ----------------------------------------------------------------------
   add a force of the model to an atom; and to the virial where the integrator, as respa,
   does not have it formed from the sums of all forces
------------------------------------------------------------------------- */

void PairTransIP::add_force(int i, const double *force)
{
  const double fx = impl->energy_unit * force[0];
  const double fy = impl->energy_unit * force[1];
  const double fz = impl->energy_unit * force[2];
  double *f = atom->f[i];
  f[0] += fx;
  f[1] += fy;
  f[2] += fz;
  if (!vflag_global) return;
  const double *x = atom->x[i];
  virial[0] += x[0] * fx;
  virial[1] += x[1] * fy;
  virial[2] += x[2] * fz;
  virial[3] += x[0] * fy;
  virial[4] += x[0] * fz;
  virial[5] += x[1] * fz;
}

/* ----------------------------------------------------------------------
   add an atom's virial W_ab = -sum r_a dE/dr_b over its edges r, times a unit of energy; the symmetric form has its upper
   triangle, so that the atoms' sum is the virial that LAMMPS forms of positions and forces
------------------------------------------------------------------------- */

void PairTransIP::add_virial(int i, const double *w, double unit)
{
  if (vflag_atom)
    for (int k = 0; k < 6; k++) vatom[i][k] += unit * w[VIRIAL_PLACE[k]];
  if (cvflag_atom)
    for (int k = 0; k < 9; k++) cvatom[i][k] += unit * w[VIRIAL_PLACE[k]];
}

/* ---------------------------------------------------------------------- */

bool PairTransIP::wants_virials() const
{
  return vflag_atom || cvflag_atom;
}

/* ----------------------------------------------------------------------
   once a run and rank: atoms closer than the model has ever seen
------------------------------------------------------------------------- */

void PairTransIP::warn_if_close(const Closest &closest)
{
  const auto &known = impl->model->metadata().closest_pair;
  if (impl->warned || !known || closest.squared >= *known * *known) return;
  impl->warned = true;
  error->warning(FLERR,
                 "pair_style transip: step {}: atoms {} and {} are {:.4g} Angstrom apart; no two "
                 "atoms of the training data were closer than {:.4g}: do not trust the energy",
                 update->ntimestep, closest.one, closest.other, std::sqrt(closest.squared), *known);
}

/* ----------------------------------------------------------------------
   the first model, and where they are wanted the others; `prepare` gives the request what a model
   needs, `tag_of_row` names the atom of a number that is not finite
------------------------------------------------------------------------- */

template <typename Prepare, typename TagOfRow>
void PairTransIP::evaluate(transip::Request &request, const Prepare &prepare,
                           const TagOfRow &tag_of_row)
{
  TransIPCommittee &committee = impl->committee;
  request.charge = impl->charge;
  request.multiplicity = impl->multiplicity;
  request.step = update->ntimestep;
  request.virials = wants_virials();
  request.distances = impl->guard.is_measured();
  request.geometry = ++impl->geometries;
  prepare(*impl->model);
  evaluate_one(*impl->model, request, impl->result, tag_of_row);
  if (!committee.is_evaluated()) return;
  committee.results.resize(committee.count());
  committee.results[0] = impl->result;
  request.virials = committee.mean && wants_virials();
  request.distances = false;
  for (std::size_t k = 0; k < committee.others.size(); k++) {
    prepare(committee.others[k]);
    evaluate_one(committee.others[k], request, committee.results[k + 1], tag_of_row);
  }
  if (committee.mean) committee.average(impl->result);
}

/* ---------------------------------------------------------------------- */

template <typename TagOfRow>
void PairTransIP::evaluate_one(transip::Model &model, const transip::Request &request,
                               transip::Result &result, const TagOfRow &tag_of_row)
{
  timed(request.positions, [&] { model.evaluate(request, result); }, tag_of_row);
}

/* ----------------------------------------------------------------------
   an evaluation of rows at these positions, its time, and its errors as LAMMPS's
------------------------------------------------------------------------- */

template <typename Evaluate, typename TagOfRow>
void PairTransIP::timed(std::span<const double> positions, const Evaluate &evaluate,
                        const TagOfRow &tag_of_row)
{
  const double start = platform::walltime();
  try {
    evaluate();
    impl->in_model += platform::walltime() - start;
  } catch (const transip::NotFinite &problem) {
    const double *x = positions.data() + 3 * problem.row();
    error->one(FLERR, "pair_style transip: step {}: {}, for atom {} at {:.6} {:.6} {:.6}",
               update->ntimestep, problem.what(), tag_of_row(problem.row()), x[0], x[1], x[2]);
  } catch (const transip::Error &problem) {
    error->one(FLERR, "pair_style transip: step {}: {}", update->ntimestep,
               transip::printable(problem.what()));
  }
}

/* ---------------------------------------------------------------------- */

int PairTransIP::pack_forward_comm(int n, int *list, double *buf, int /*pbc_flag*/, int * /*pbc*/)
{
  return impl->exchange.pack_forward(n, list, buf);
}

/* ---------------------------------------------------------------------- */

void PairTransIP::unpack_forward_comm(int n, int first, double *buf)
{
  impl->exchange.unpack_forward(n, first, buf);
}

/* ---------------------------------------------------------------------- */

int PairTransIP::pack_reverse_comm(int n, int first, double *buf)
{
  return impl->committee.pack_reverse(n, first, buf);
}

/* ---------------------------------------------------------------------- */

void PairTransIP::unpack_reverse_comm(int n, int *list, double *buf)
{
  impl->committee.unpack_reverse(n, list, buf);
}

/* ---------------------------------------------------------------------- */

void *PairTransIP::extract(const char *name, int &dim)
{
  if (void *found = impl->guard.extract(name, dim)) return found;
  return impl->committee.extract(name, dim);
}

/* ---------------------------------------------------------------------- */

void *PairTransIP::extract_peratom(const char *name, int &columns)
{
  if (void *found = impl->guard.extract_peratom(name, columns)) return found;
  return impl->committee.extract_peratom(name, columns);
}

/* ---------------------------------------------------------------------- */

double PairTransIP::memory_usage()
{
  const double in_model = impl->model ? static_cast<double>(impl->model->memory()) : 0.0;
  return in_model + impl->molecule.memory_usage() + impl->exchange.memory_usage() +
      impl->whole.memory_usage() +
      impl->rows.memory_usage() + impl->committee.memory_usage() +
      impl->guard.memory_usage() +
      static_cast<double>(sizeof(double) * (impl->result.energies.capacity() +
                                            impl->result.forces.capacity() +
                                            impl->result.virials.capacity()));
}
