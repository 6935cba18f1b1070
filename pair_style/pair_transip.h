/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This pair style derives from LAMMPS's class Pair and is distributed under
   the GNU General Public License, version 2 or later: see LICENSE in this
   directory.
------------------------------------------------------------------------- */

// pair_style transip model.pt [more.pt ...] [device auto|cpu|cuda|cuda:N] [charge Q] [multiplicity M]
//   [check yes|no] [threads N] [symmetry none|average N [inversion]|frame|random SEED [forced]]
//   [kernels auto|native|torch] [reference FILE]
//   [deviation FILE every N] [stop above X] [dump FILE above Y] [force first|mean]
//   [guard every N warn|stop above X]
// pair_coeff * * El1 El2 ...

#ifndef LMP_PAIR_TRANSIP_H
#define LMP_PAIR_TRANSIP_H

#include "pair.h"

#include <memory>
#include <span>
#include <string>

namespace transip {
class Model;
struct Request;
struct Result;
}    // namespace transip

namespace LAMMPS_NS {

enum class TransIPGhosts;

class PairTransIP : public Pair {
 public:
  PairTransIP(class LAMMPS *);
  ~PairTransIP() override;

  void compute(int, int) override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  double memory_usage() override;
  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  void *extract(const char *, int &) override;
  void *extract_peratom(const char *, int &) override;

 private:
  struct Impl;    // holds everything of libtransip
  std::unique_ptr<Impl> impl;

  void allocate();
  TransIPGhosts ghosts() const;
  void init_local();
  void check_thermostat();
  void take_reference(const class TransIPMolecule &);
  bool finds_neighbors() const;
  void compute_local();
  void compute_whole();
  void compute_molecule();
  void tell_time(double);
  void add_force(int, const double *);
  void add_virial(int, const double *, double);
  bool wants_virials() const;
  void warn_if_close(const struct Closest &);
  void log_model(const transip::Model &, const std::string &, bool);
  void check_alike(const transip::Model &, const std::string &) const;
  double cutoff() const;
  template <typename Prepare, typename TagOfRow>
  void evaluate(transip::Request &, const Prepare &, const TagOfRow &);
  template <typename Evaluate, typename TagOfRow>
  void timed(std::span<const double>, const Evaluate &, const TagOfRow &);
  template <typename TagOfRow>
  void evaluate_one(transip::Model &, const transip::Request &, transip::Result &, const TagOfRow &);
};

}    // namespace LAMMPS_NS

#endif
