// A TransIP network evaluated by the project's own kernels, without torch, on the CPU. Internal to libtransip.
#pragma once

#include "../modelfile/weights.h"
#include "network.h"
#include "transip/metadata.h"
#include "transip/model.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace transip {

class NativeModel {
 public:
  /// Make the kernels ready for a TransIP network. Null: its forces are no gradient, or it has a shape that the kernels
  /// are not made for.
  ///
  /// Throws Error: weights are missing, or have other shapes than the metadata asks for.
  static std::unique_ptr<NativeModel> make(Weights weights, const Metadata &metadata);
  ~NativeModel();

  /// Energies, and forces unless they are not wanted, of a request whose positions are these.
  ///
  /// Throws Error: shapes, rows or owners that do not fit.
  void evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces);

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
