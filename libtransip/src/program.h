// What a model file runs: TorchScript, or code compiled ahead of time. Internal to libtransip.
#pragma once

#include "transip/metadata.h"

#include <torch/torch.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace transip {

/// Energies [T] and forces [I, 3] of the engines' forward.
struct Output {
  at::Tensor energies;
  at::Tensor forces;
};

class Program {
 public:
  virtual ~Program() = default;

  /// Run the forward on its seven arguments, which are on the program's device.
  virtual Output run(std::vector<at::Tensor> inputs) = 0;

  /// Energies alone, without the gradient where the file has a way of doing so.
  virtual at::Tensor energies(std::vector<at::Tensor> inputs) { return run(std::move(inputs)).energies; }
};

/// Load the program of a model file; `compiled` as found in its archive.
///
/// Throws Error: torch cannot load it, or it was compiled for another torch or CPU.
std::unique_ptr<Program> load_program(const std::string &path, const Metadata &metadata, bool compiled,
                                      c10::Device device);

/// The line of a torch exception that a user needs: the first of torch's own errors, behind which C++ backtraces
/// follow, the last of an error from inside TorchScript, before which its source is shown.
std::string essence(const std::exception &problem);

}  // namespace transip
