// A TransIP network evaluated by the project's own kernels, without torch, on the CPU. Internal to libtransip.
#pragma once

#include "evaluate/edge.h"
#include "modelfile/weights.h"
#include "network.h"
#include "transip/metadata.h"
#include "transip/model.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace transip {

namespace native {
class Workers;
}

class NativeModel {
 public:
  /// Make the kernels ready for a TransIP network. Null: its forces are no gradient, or it has a shape that the kernels
  /// are not made for.
  ///
  /// Throws Error: weights are missing, or have other shapes than the metadata asks for.
  static std::unique_ptr<NativeModel> make(Weights weights, const Metadata &metadata);
  ~NativeModel();

  /// Let up to so many threads share the work of an evaluation; 1, the caller's alone, unless this is called. Small
  /// molecules stay on one. Results have the same bits for any number.
  ///
  /// Throws Error: none or fewer.
  void set_threads(int threads);

  /// Work in the memory of another model from now on: only one of them is evaluated at a time. False: it does already.
  bool share_memory(NativeModel &first);

  /// These threads, until their number is set; null: the caller's alone.
  native::Workers *workers();

  /// Energies, and forces unless they are not wanted, of a request whose positions are these.
  ///
  /// virials: if not null, [T*9] eV, row-major: W_t = -sum over the edges t -> j of token t of r_tj (x) dE/dr_tj, with
  /// r_tj = r_j - r_t. The energy is a function of these vectors, and the sum of all W_t is the sum over rows of r (x) f.
  /// A model without a cutoff has an edge from every token to every other. With an exchange E is the energy of all ranks.
  /// nearby: if not null, edges shorter than `near`, Angstrom, are written there, those of one token after those of the other.
  /// normalised: if not null, [T*dim], what the layer norm before the energy head gives, before its scale and shift.
  /// Throws Error: shapes, rows or owners that do not fit, virials of a network that sees coordinates or without forces.
  void evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces,
                std::vector<double> *virials = nullptr, std::vector<double> *normalised = nullptr, double near = 0.0,
                std::vector<Edge> *nearby = nullptr);

  /// Bytes that are kept from one evaluation to the next.
  std::int64_t memory() const;

  /// Instruction set of the kernels, "avx512", "avx2" or "baseline".
  const std::string &instructions() const;

 private:
  NativeModel();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace transip
