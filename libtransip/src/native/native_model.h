// A TransIP network evaluated by the project's own kernels, without torch, on the CPU. Internal to libtransip.
#pragma once

#include "network.h"
#include "transip/metadata.h"
#include "transip/model.h"

#include <torch/script.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace transip {

class NativeModel {
 public:
  /// Take the weights out of a scripted model. Null: it is not this project's network, which alone the kernels know,
  /// its forces are no gradient, or it has a shape that they are not made for.
  static std::unique_ptr<NativeModel> take(torch::jit::Module &module, const Metadata &metadata);
  ~NativeModel();

  /// Energies, and forces unless they are not wanted, of a request whose positions are these.
  ///
  /// Throws Error: shapes, rows or owners that do not fit.
  void evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces);

  /// Instruction set of the kernels, "avx512", "avx2" or "baseline".
  const std::string &instructions() const;

 private:
  NativeModel();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace transip
