/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

// Atoms of this rank as tokens, rows and neighbour lists of a local model (docs/conventions.md).

#ifndef LMP_TRANSIP_ROWS_H
#define LMP_TRANSIP_ROWS_H

#include "transip_closest.h"

#include "pointers.h"

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace LAMMPS_NS {

// what the ghosts of this rank are to the model
enum class TransIPGhosts {
  IMAGES,       // of local atoms (one rank)
  TOKENS,       // atoms whose features this rank computes too (a halo)
  EXCHANGED,    // images of local atoms of whatever rank, whose features come from there
};

class TransIPRows : protected Pointers {
 public:
  explicit TransIPRows(class LAMMPS *);

  // rows and lists from a new neighbor list; its pairs beyond the cutoff, within the skin, are kept
  // elements: atomic number of each atom type, 0 for types of another style
  // local atoms are tokens, ghosts what `ghosts` states; exchange: knows whose images they are
  // near: distance in Angstrom below which `closest` is to find the nearest pair
  void build(class NeighList *list, const std::vector<std::int64_t> &elements, TransIPGhosts ghosts,
             const class TransIPHaloExchange &exchange, double near);

  // whether atoms have had the same types since `build`: fixes may change them without a new list
  bool up_to_date() const;

  // positions of this step
  void update();

  // neighbours of this step within a cutoff, for evaluators that compute every pair they are given
  void filter(double cutoff);

  // pair of a token and a neighbour that is nearest now, of those that were near when built
  Closest closest() const;

  std::vector<int> atom_of_row;            // [I]
  std::vector<std::int64_t> species;       // [T]
  std::vector<std::uint8_t> owned;         // [T]
  std::vector<double> positions;           // [I*3]
  std::vector<std::int64_t> owner;         // [I] token, or number of tokens + halo atom
  std::vector<std::int64_t> first;         // [T+1] where the neighbours of a token begin
  std::vector<std::int64_t> neighbours;    // [E] rows
  std::vector<std::int64_t> first_within;  // the same of those within the cutoff, by `filter`
  std::vector<std::int64_t> within;

  double memory_usage() const;

 private:
  struct NearPair {
    std::int64_t token, row;
  };

  std::unordered_map<tagint, int> local_of_tag;
  std::vector<std::int64_t> row_of_atom;    // [nall], -1 for atoms without a row
  std::vector<int> types;                   // [nall] of atoms
  std::vector<NearPair> near_pairs;

  void add_row(int i, std::int64_t token);
  int owner_of_ghost(int j);
  double square(std::int64_t token, std::int64_t row) const;
};

}    // namespace LAMMPS_NS

#endif
