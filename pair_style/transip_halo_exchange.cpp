/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

#include "transip_halo_exchange.h"

#include "atom.h"
#include "comm.h"
#include "neigh_list.h"
#include "pair.h"

#include <algorithm>
#include <dlfcn.h>
#include <type_traits>

using namespace LAMMPS_NS;

/* ----------------------------------------------------------------------
   whether MPI takes pointers to a GPU's memory, by the function that MPI libraries have beside
   the standard (Open MPI, MPICH); looked up, for it need not be there
------------------------------------------------------------------------- */

static bool mpi_is_cuda_aware()
{
  using Query = int (*)();
  const auto query = reinterpret_cast<Query>(dlsym(RTLD_DEFAULT, "MPIX_Query_cuda_support"));
  return query && query() == 1;
}

/* ---------------------------------------------------------------------- */

TransIPHaloExchange::TransIPHaloExchange(LAMMPS *lmp, Pair *pair) :
    Pointers(lmp), pair(pair), cuda_aware(mpi_is_cuda_aware())
{
}

/* ----------------------------------------------------------------------
   LAMMPS's ghosts learn whose images they are; every atom of another rank that some token sees,
   by whatever number of images, becomes one halo atom
------------------------------------------------------------------------- */

void TransIPHaloExchange::plan(NeighList *list, const std::vector<std::int64_t> &elements)
{
  const int nlocal = atom->nlocal;
  const int nall = nlocal + atom->nghost;
  home.assign(nall, {comm->me, -1});
  int tokens = 0;
  for (int i = 0; i < nlocal; i++)
    if (elements[atom->type[i]] != 0) home[i].token = tokens++;
  comm->forward_comm(pair);

  owner_of_atom.assign(nall, -1);
  wanted.clear();
  for (int i = 0; i < nlocal; i++) {
    if (home[i].token < 0) continue;
    owner_of_atom[i] = home[i].token;
    for (int jj = 0; jj < list->numneigh[i]; jj++) {
      const int j = list->firstneigh[i][jj] & NEIGHMASK;
      if (j < nlocal || home[j].token < 0 || owner_of_atom[j] >= 0) continue;
      owner_of_atom[j] = home[j].token;
      if (home[j].rank != comm->me) wanted.push_back(home[j]);
    }
  }
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  for (int j = nlocal; j < nall; j++)
    if (owner_of_atom[j] >= 0 && home[j].rank != comm->me)
      owner_of_atom[j] =
          tokens + (std::lower_bound(wanted.begin(), wanted.end(), home[j]) - wanted.begin());

  // every rank sends the others what it wants

  std::vector<int> ask(wanted.size()), asks(comm->nprocs, 0), gives(comm->nprocs);
  for (std::size_t halo_atom = 0; halo_atom < wanted.size(); halo_atom++) {
    ask[halo_atom] = wanted[halo_atom].token;
    asks[wanted[halo_atom].rank]++;
  }
  MPI_Alltoall(asks.data(), 1, MPI_INT, gives.data(), 1, MPI_INT, world);
  const auto parts = [](const std::vector<int> &counts, std::vector<int> &starts) {
    std::vector<Part> found;
    starts.assign(counts.size(), 0);
    int sum = 0;
    for (int rank = 0; rank < static_cast<int>(counts.size()); rank++) {
      starts[rank] = sum;
      if (counts[rank])
        found.push_back(
            {rank, static_cast<std::size_t>(sum), static_cast<std::size_t>(counts[rank])});
      sum += counts[rank];
    }
    return found;
  };
  std::vector<int> ask_starts, give_starts;
  halo_parts = parts(asks, ask_starts);
  given_parts = parts(gives, give_starts);
  given_tokens.resize(give_starts.back() + gives.back());
  MPI_Alltoallv(ask.data(), asks.data(), ask_starts.data(), MPI_INT, given_tokens.data(), gives.data(),
                give_starts.data(), MPI_INT, world);
}

/* ----------------------------------------------------------------------
   parts of two arrays, on the host or, if MPI is CUDA-aware, on devices
------------------------------------------------------------------------- */

template <typename Real>
void TransIPHaloExchange::hand_over(const std::vector<Part> &out_parts, const Real *out,
                                    const std::vector<Part> &in_parts, Real *in, int width)
{
  const MPI_Datatype number = std::is_same_v<Real, float> ? MPI_FLOAT : MPI_DOUBLE;
  requests.clear();
  for (const Part &part : in_parts)
    MPI_Irecv(in + part.first * width, static_cast<int>(part.count * width), number, part.rank, 0,
              world, &requests.emplace_back());
  for (const Part &part : out_parts)
    MPI_Isend(out + part.first * width, static_cast<int>(part.count * width), number, part.rank, 0,
              world, &requests.emplace_back());
  MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
}

/* ---------------------------------------------------------------------- */

void TransIPHaloExchange::forward(const float *given, float *halo, int width)
{
  hand_over(given_parts, given, halo_parts, halo, width);
}

void TransIPHaloExchange::forward(const double *given, double *halo, int width)
{
  hand_over(given_parts, given, halo_parts, halo, width);
}

void TransIPHaloExchange::reverse(const float *halo, float *given, int width)
{
  hand_over(halo_parts, halo, given_parts, given, width);
}

void TransIPHaloExchange::reverse(const double *halo, double *given, int width)
{
  hand_over(halo_parts, halo, given_parts, given, width);
}

/* ----------------------------------------------------------------------
   whose images ghosts are
------------------------------------------------------------------------- */

int TransIPHaloExchange::pack_forward(int n, const int *list, double *buf) const
{
  for (int i = 0; i < n; i++) {
    *buf++ = home[list[i]].rank;
    *buf++ = home[list[i]].token;
  }
  return n * NUMBERS;
}

/* ---------------------------------------------------------------------- */

void TransIPHaloExchange::unpack_forward(int n, int first, const double *buf)
{
  for (int i = first; i < first + n; i++) {
    home[i].rank = static_cast<int>(*buf++);
    home[i].token = static_cast<int>(*buf++);
  }
}

/* ---------------------------------------------------------------------- */

double TransIPHaloExchange::memory_usage() const
{
  return static_cast<double>(sizeof(Home) * (home.capacity() + wanted.capacity()) +
                             sizeof(std::int64_t) * owner_of_atom.capacity() +
                             sizeof(int) * given_tokens.capacity());
}
