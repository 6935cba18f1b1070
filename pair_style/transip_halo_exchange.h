/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

// Features of atoms to the ranks that see images of them, and gradients back, layer by layer.

#ifndef LMP_TRANSIP_HALO_EXCHANGE_H
#define LMP_TRANSIP_HALO_EXCHANGE_H

#include "pointers.h"

#include "transip/halo_exchange.h"

#include <cstdint>
#include <vector>

namespace LAMMPS_NS {

class TransIPHaloExchange : public transip::HaloExchange, protected Pointers {
 public:
  // comm_forward of the pair style
  static constexpr int NUMBERS = 2;

  TransIPHaloExchange(class LAMMPS *, class Pair *);
  ~TransIPHaloExchange() noexcept override = default;

  // after every reneighboring: who needs what from whom
  // elements: atomic number of each atom type, 0 for types of another style
  void plan(class NeighList *list, const std::vector<std::int64_t> &elements);

  // token of this rank, or number of tokens + halo atom, that an atom of a neighbor list images
  std::int64_t owner(int j) const { return owner_of_atom[j]; }

  std::int64_t halo_atoms() const override { return static_cast<std::int64_t>(wanted.size()); }
  std::int64_t given_atoms() const override { return static_cast<std::int64_t>(given_tokens.size()); }
  const int *given() const override { return given_tokens.data(); }
  void forward(const float *, float *, int) override;
  void forward(const double *, double *, int) override;
  void reverse(const float *, float *, int) override;
  void reverse(const double *, double *, int) override;
  bool takes_device_memory() const override { return cuda_aware; }

  // what Pair's methods of these names do
  int pack_forward(int n, const int *list, double *buf) const;
  void unpack_forward(int n, int first, const double *buf);

  double memory_usage() const;

 private:
  // part of the halo atoms, or of what other ranks want of this one, that one other rank has
  struct Part {
    int rank;
    std::size_t first, count;
  };
  struct Home {
    int rank;
    int token;    // there; -1 for atoms of another style

    bool operator==(const Home &) const = default;
    auto operator<=>(const Home &) const = default;
  };

  class Pair *pair;
  std::vector<Home> home;                     // [nall]
  std::vector<std::int64_t> owner_of_atom;    // [nall], -1 for ghosts in no neighbor list
  std::vector<Home> wanted;                   // of the halo atoms
  std::vector<Part> halo_parts, given_parts;
  std::vector<int> given_tokens;              // that other ranks want, rank by rank
  bool cuda_aware;
  std::vector<MPI_Request> requests;

  template <typename Real>
  void hand_over(const std::vector<Part> &, const Real *, const std::vector<Part> &, Real *, int);
};

}    // namespace LAMMPS_NS

#endif
