/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

#include "transip_committee.h"

#include "transip_molecule.h"
#include "transip_rows.h"
#include "transip_whole.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "pair.h"
#include "update.h"
#include "utils.h"

#include "transip/elements.h"

#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

using namespace LAMMPS_NS;

static constexpr const char *HEADER =
    "#       step         max_devi_v         min_devi_v         avg_devi_v         max_devi_f"
    "         min_devi_f         avg_devi_f             devi_e\n";

// atom of a structure to be written
struct Written {
  double x[3], f[3], deviation;
  std::int64_t element;
  tagint tag;
};

/* ---------------------------------------------------------------------- */

TransIPCommittee::TransIPCommittee(LAMMPS *lmp, Pair *pair) : Pointers(lmp), pair(pair) {}

/* ---------------------------------------------------------------------- */

TransIPCommittee::~TransIPCommittee() noexcept
{
  if (output) fclose(output);
}

/* ---------------------------------------------------------------------- */

void TransIPCommittee::clear()
{
  if (output) fclose(output);
  output = nullptr;
  others.clear();
  results.clear();
  file.clear();
  dump_file.clear();
  every = 0;
  last_written = -1;
  stop_above = dump_above = 0.0;
  mean = false;
}

/* ----------------------------------------------------------------------
   deviation FILE every N, stop above X, dump FILE above Y, force first|mean
------------------------------------------------------------------------- */

int TransIPCommittee::keyword(int narg, char **arg, int iarg)
{
  const auto needs = [&](int values, const char *form) {
    if (iarg + values >= narg)
      error->all(FLERR, "pair_style transip: keyword {} needs more values: {}", arg[iarg], form);
  };
  const auto word = [&](int place, const char *expected, const char *form) {
    if (strcmp(arg[iarg + place], expected) != 0)
      error->all(FLERR, "pair_style transip: expected {}; got {} where {} belongs", form,
                 arg[iarg + place], expected);
  };
  const auto bound = [&](int place, const char *form) {
    const double value = utils::numeric(FLERR, arg[iarg + place], false, lmp);
    if (!(value > 0.0))
      error->all(FLERR, "pair_style transip: expected {} with a force above 0; got {}", form,
                 arg[iarg + place]);
    return value;
  };
  if (strcmp(arg[iarg], "deviation") == 0) {
    const char *form = "deviation FILE every N";
    needs(3, form);
    word(2, "every", form);
    file = arg[iarg + 1];
    every = utils::bnumeric(FLERR, arg[iarg + 3], false, lmp);
    if (every < 1)
      error->all(FLERR, "pair_style transip: expected {} with 1 step or more; got {}", form,
                 arg[iarg + 3]);
    return 4;
  }
  if (strcmp(arg[iarg], "stop") == 0) {
    const char *form = "stop above X";
    needs(2, form);
    word(1, "above", form);
    stop_above = bound(2, form);
    return 3;
  }
  if (strcmp(arg[iarg], "dump") == 0) {
    const char *form = "dump FILE above Y";
    needs(3, form);
    word(2, "above", form);
    dump_file = arg[iarg + 1];
    dump_above = bound(3, form);
    return 4;
  }
  if (strcmp(arg[iarg], "force") == 0) {
    needs(1, "force first or force mean");
    mean = strcmp(arg[iarg + 1], "mean") == 0;
    if (!mean) word(1, "first", "force first or force mean");
    return 2;
  }
  return 0;
}

/* ---------------------------------------------------------------------- */

void TransIPCommittee::check() const
{
  if (others.empty() && (every || mean))
    error->all(FLERR,
               "pair_style transip: deviation and force mean are of a committee: name two model "
               "files or more, pair_style transip a.pt b.pt ...");
  if (!every && (stop_above > 0.0 || dump_above > 0.0))
    error->all(FLERR,
               "pair_style transip: stop and dump go with the steps in which the models are "
               "compared: add deviation FILE every N");
}

/* ---------------------------------------------------------------------- */

bool TransIPCommittee::is_judged() const
{
  return !others.empty() && (asked || (every && update->ntimestep % every == 0));
}

/* ---------------------------------------------------------------------- */

bool TransIPCommittee::is_evaluated() const
{
  return is_judged() || (mean && !others.empty());
}

/* ---------------------------------------------------------------------- */

void TransIPCommittee::average(transip::Result &of_all) const
{
  const double share = 1.0 / count();
  const auto fill = [&](std::vector<double> &to, std::vector<double> transip::Result::*part) {
    std::fill(to.begin(), to.end(), 0.0);
    for (const transip::Result &one : results)
      for (std::size_t i = 0; i < to.size(); i++) to[i] += share * (one.*part)[i];
  };
  fill(of_all.energies, &transip::Result::energies);
  fill(of_all.forces, &transip::Result::forces);
  fill(of_all.virials, &transip::Result::virials);
  of_all.energy = std::accumulate(of_all.energies.begin(), of_all.energies.end(), 0.0);
}

/* ---------------------------------------------------------------------- */

void TransIPCommittee::judge_rows(const TransIPRows &rows,
                                  const std::vector<std::int64_t> &element_of_type,
                                  double energy_unit)
{
  const int models = count();
  forces.assign(3 * models * static_cast<std::size_t>(atom->nlocal + atom->nghost), 0.0);
  virials.assign(9 * models, 0.0);
  energies.assign(models, 0.0);
  for (int k = 0; k < models; k++) {
    energies[k] = results[k].energy;
    for (std::size_t row = 0; row < rows.atom_of_row.size(); row++) {
      const double *f = &results[k].forces[3 * row], *x = &rows.positions[3 * row];
      double *to = &forces[3 * (rows.atom_of_row[row] * static_cast<std::size_t>(models) + k)];
      for (int a = 0; a < 3; a++) to[a] += f[a];
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) virials[9 * k + 3 * a + b] += x[a] * f[b];
    }
  }
  comm->reverse_comm(pair);
  judge(element_of_type, energy_unit);
}

/* ---------------------------------------------------------------------- */

void TransIPCommittee::judge_whole(const TransIPWhole &whole,
                                   const std::vector<transip::StructureResult> &of_models,
                                   const std::vector<std::int64_t> &element_of_type,
                                   double energy_unit)
{
  const std::size_t models = of_models.size();
  forces.assign(3 * models * atom->nlocal, 0.0);
  virials.clear();
  energies.clear();
  for (std::size_t k = 0; k < models; k++) {
    energies.push_back(of_models[k].energy);
    virials.insert(virials.end(), of_models[k].virial.begin(), of_models[k].virial.end());
    for (std::size_t place = 0; place < whole.atom_of_place.size(); place++)
      std::copy_n(&of_models[k].forces[3 * place], 3,
                  &forces[3 * (whole.atom_of_place[place] * models + k)]);
  }
  judge(element_of_type, energy_unit);
}

/* ---------------------------------------------------------------------- */

void TransIPCommittee::judge_molecule(TransIPMolecule &molecule,
                                      const std::vector<std::int64_t> &element_of_type,
                                      double energy_unit)
{
  const int models = count();
  forces.assign(3 * models * static_cast<std::size_t>(atom->nlocal), 0.0);
  virials.assign(9 * models, 0.0);
  energies.assign(models, 0.0);
  results.resize(models);
  for (int k = 0; k < models; k++) {
    molecule.share(results[k].forces, 3);
    if (comm->me == 0) energies[k] = results[k].energy;
    for (std::size_t place = 0; place < molecule.atom_of_place.size(); place++) {
      const double *f = &results[k].forces[3 * place], *x = &molecule.positions[3 * place];
      if (comm->me == 0)
        for (int a = 0; a < 3; a++)
          for (int b = 0; b < 3; b++) virials[9 * k + 3 * a + b] += x[a] * f[b];
      const int i = molecule.atom_of_place[place];
      if (i >= 0)
        std::copy_n(f, 3, &forces[3 * (i * static_cast<std::size_t>(models) + k)]);
    }
  }
  judge(element_of_type, energy_unit);
}

/* ----------------------------------------------------------------------
   variance of the models' values, `stride` apart
------------------------------------------------------------------------- */

static double variance(const double *values, int models, int stride)
{
  double mean = 0.0, sum = 0.0;
  for (int k = 0; k < models; k++) mean += values[k * stride] / models;
  for (int k = 0; k < models; k++) sum += (values[k * stride] - mean) * (values[k * stride] - mean);
  return sum / models;
}

/* ---------------------------------------------------------------------- */

TransIPCommittee::Spread TransIPCommittee::spread_of_virials(double atoms) const
{
  Spread found;
  for (int component = 0; component < 9; component++) {
    const double squared = variance(&virials[component], count(), 9) / (atoms * atoms);
    const double one = std::sqrt(squared);
    found.highest = std::max(found.highest, one);
    found.lowest = component ? std::min(found.lowest, one) : one;
    found.average += squared / 9.0;
  }
  found.average = std::sqrt(found.average);
  return found;
}

/* ----------------------------------------------------------------------
   of an atom the norm of the force's standard deviation, of the virial its components' per atom
------------------------------------------------------------------------- */

void TransIPCommittee::judge(const std::vector<std::int64_t> &element_of_type, double energy_unit)
{
  const int models = count();
  for (std::vector<double> *values : {&forces, &virials, &energies})
    for (double &value : *values) value *= energy_unit;
  MPI_Allreduce(MPI_IN_PLACE, virials.data(), 9 * models, MPI_DOUBLE, MPI_SUM, world);
  MPI_Allreduce(MPI_IN_PLACE, energies.data(), models, MPI_DOUBLE, MPI_SUM, world);

  deviation.assign(std::max(atom->nmax, 1), 0.0);
  double sums[2] = {0.0, 0.0};    // of deviations, of atoms
  double extremes[2] = {0.0, -HUGE_VAL};    // highest, and the lowest with its sign changed
  tagint furthest = 0;
  for (int i = 0; i < atom->nlocal; i++) {
    if (element_of_type[atom->type[i]] == 0) continue;
    const double *f = &forces[3 * static_cast<std::size_t>(models) * i];
    double squared = 0.0;
    for (int a = 0; a < 3; a++) squared += variance(f + a, models, 3);
    deviation[i] = std::sqrt(squared);
    sums[0] += deviation[i];
    sums[1] += 1.0;
    if (deviation[i] >= extremes[0]) furthest = atom->tag[i];
    extremes[0] = std::max(extremes[0], deviation[i]);
    extremes[1] = std::max(extremes[1], -deviation[i]);
  }
  const double highest_here = extremes[0];
  MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, world);
  MPI_Allreduce(MPI_IN_PLACE, extremes, 2, MPI_DOUBLE, MPI_MAX, world);
  if (sums[1] == 0.0) return;
  if (!every || update->ntimestep % every != 0) return;

  const Spread of_forces = {extremes[0], -extremes[1], sums[0] / sums[1]};
  const double of_energies = std::sqrt(variance(energies.data(), models, 1)) / sums[1];
  // the first step of a run is the last of the one before
  const bool anew = update->ntimestep != last_written;
  if (anew) write_line(spread_of_virials(sums[1]), of_forces, of_energies);
  const bool stops = stop_above > 0.0 && of_forces.highest > stop_above;
  const std::string stopped = dump_file.empty() ? file + ".xyz" : dump_file;
  if ((anew && dump_above > 0.0 && of_forces.highest > dump_above) || stops)
    write_structure(stopped, element_of_type, of_forces.highest);
  if (!stops) return;
  if (highest_here != of_forces.highest) furthest = 0;
  MPI_Allreduce(MPI_IN_PLACE, &furthest, 1, MPI_LMP_TAGINT, MPI_MAX, world);
  error->all(FLERR,
             "pair_style transip: step {}: the models' forces on atom {} deviate by {:.4g}, above "
             "the bound of {:.4g}: do not trust them. The structure is in {}",
             update->ntimestep, furthest, of_forces.highest, stop_above, stopped);
}

/* ---------------------------------------------------------------------- */

void TransIPCommittee::write_line(const Spread &of_virials, const Spread &of_forces,
                                  double of_energies)
{
  last_written = update->ntimestep;
  if (comm->me != 0) return;
  if (!output) {
    output = fopen(file.c_str(), "w");
    if (!output)
      error->one(FLERR, "pair_style transip: cannot write {}: {}", file, utils::getsyserror());
    fputs(HEADER, output);
  }
  utils::print(output, "{:12d} {:18.6e} {:18.6e} {:18.6e} {:18.6e} {:18.6e} {:18.6e} {:18.6e}\n",
               update->ntimestep, of_virials.highest, of_virials.lowest, of_virials.average,
               of_forces.highest, of_forces.lowest, of_forces.average, of_energies);
  fflush(output);
}

/* ----------------------------------------------------------------------
   append the structure to an extended XYZ file: Angstrom, forces in LAMMPS's unit
------------------------------------------------------------------------- */

void TransIPCommittee::write_structure(const std::string &path,
                                       const std::vector<std::int64_t> &element_of_type,
                                       double highest)
{
  const int models = count();
  std::vector<Written> mine, all;
  for (int i = 0; i < atom->nlocal; i++) {
    const std::int64_t element = element_of_type[atom->type[i]];
    if (element == 0) continue;
    const double *x = atom->x[i], *f = &forces[3 * static_cast<std::size_t>(models) * i];
    Written one{{x[0], x[1], x[2]}, {0.0, 0.0, 0.0}, deviation[i], element, atom->tag[i]};
    for (int k = 0; k < (mean ? models : 1); k++)
      for (int a = 0; a < 3; a++) one.f[a] += f[3 * k + a] / (mean ? models : 1);
    mine.push_back(one);
  }
  const int bytes = static_cast<int>(mine.size() * sizeof(Written));
  std::vector<int> counts(comm->nprocs), starts(comm->nprocs, 0);
  MPI_Gather(&bytes, 1, MPI_INT, counts.data(), 1, MPI_INT, 0, world);
  for (int rank = 1; rank < comm->nprocs; rank++)
    starts[rank] = starts[rank - 1] + counts[rank - 1];
  if (comm->me == 0) all.resize((starts.back() + counts.back()) / sizeof(Written));
  MPI_Gatherv(mine.data(), bytes, MPI_BYTE, all.data(), counts.data(), starts.data(), MPI_BYTE, 0,
              world);
  if (comm->me != 0) return;
  std::sort(all.begin(), all.end(),
            [](const Written &one, const Written &other) { return one.tag < other.tag; });

  FILE *to = fopen(path.c_str(), "a");
  if (!to) error->one(FLERR, "pair_style transip: cannot write {}: {}", path, utils::getsyserror());
  const double *h = domain->h;
  const auto letter = [](int periodic) { return periodic ? 'T' : 'F'; };
  utils::print(to, "{}\n", all.size());
  if (domain->xperiodic || domain->yperiodic || domain->zperiodic)
    utils::print(to, "Lattice=\"{:.10g} 0 0 {:.10g} {:.10g} 0 {:.10g} {:.10g} {:.10g}\" ", h[0], h[5],
                 h[1], h[4], h[3], h[2]);
  utils::print(to,
               "Properties=species:S:1:pos:R:3:forces:R:3:force_deviation:R:1 pbc=\"{} {} {}\" "
               "step={} max_devi_f={:.6e}\n",
               letter(domain->xperiodic), letter(domain->yperiodic), letter(domain->zperiodic),
               update->ntimestep, highest);
  for (const Written &one : all)
    utils::print(to, "{} {:.10f} {:.10f} {:.10f} {:.8f} {:.8f} {:.8f} {:.6e}\n",
                 transip::symbol(static_cast<int>(one.element)), one.x[0], one.x[1], one.x[2], one.f[0],
                 one.f[1], one.f[2], one.deviation);
  fclose(to);
}

/* ---------------------------------------------------------------------- */

int TransIPCommittee::pack_reverse(int n, int first, double *buf) const
{
  const std::size_t width = comm_reverse();
  std::copy_n(&forces[width * first], width * n, buf);
  return static_cast<int>(width) * n;
}

/* ---------------------------------------------------------------------- */

void TransIPCommittee::unpack_reverse(int n, const int *list, const double *buf)
{
  const std::size_t width = comm_reverse();
  for (int i = 0; i < n; i++)
    for (std::size_t k = 0; k < width; k++) forces[width * list[i] + k] += buf[width * i + k];
}

/* ----------------------------------------------------------------------
   for fix pair: `fix ID all pair N transip deviation 1`
------------------------------------------------------------------------- */

void *TransIPCommittee::extract(const char *name, int &dim)
{
  if (strcmp(name, "deviation_flag") != 0 || others.empty()) return nullptr;
  dim = 0;
  return &asked;
}

/* ---------------------------------------------------------------------- */

void *TransIPCommittee::extract_peratom(const char *name, int &columns)
{
  if (strcmp(name, "deviation") != 0 || others.empty()) return nullptr;
  columns = 0;
  const auto most = static_cast<std::size_t>(std::max(atom->nmax, 1));
  if (deviation.size() < most) deviation.resize(most, 0.0);
  return deviation.data();
}

/* ---------------------------------------------------------------------- */

double TransIPCommittee::memory_usage() const
{
  double bytes = static_cast<double>(sizeof(double) * (forces.capacity() + deviation.capacity()));
  for (const transip::Model &model : others) bytes += static_cast<double>(model.memory());
  for (const transip::Result &one : results)
    bytes += static_cast<double>(sizeof(double) * (one.energies.capacity() + one.forces.capacity() +
                                                   one.virials.capacity()));
  return bytes;
}
