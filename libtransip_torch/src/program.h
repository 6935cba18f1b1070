// What a model file runs: TorchScript, or code compiled ahead of time. Internal to libtransip_torch.
#pragma once

#include "modelfile/archive.h"
#include "transip/metadata.h"
#include "torch_headers.h"

#include <exception>
#include <memory>
#include <string>
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

  /// The forward averaged over rotations with weights.
  virtual Output run_average(std::vector<at::Tensor> inputs, const at::Tensor &rotations,
                             const at::Tensor &weights) = 0;

  /// The file's TorchScript, of a package that for rotating structures alone (python/transip_md/symmetry/module.py).
  virtual torch::jit::Module &script() = 0;

  /// Whether it is the code of a network that the native kernels repeat.
  virtual bool native_network() { return false; }

  /// Energies alone, without the gradient where the file has a way of doing so.
  virtual at::Tensor energies(std::vector<at::Tensor> inputs) { return run(std::move(inputs)).energies; }
};

/// Load the program of a model file; `compiled` as found in its archive. What TorchScript holds is looked through first.
///
/// Throws Error: torch cannot load it, it was compiled for another torch or CPU, or it is refused (script_guard.h).
std::unique_ptr<Program> load_program(const Archive &archive, const Metadata &metadata, bool compiled,
                                      c10::Device device);

/// The line of a torch exception that a user needs: the first of torch's own errors, behind which C++ backtraces
/// follow, the last of an error from inside TorchScript, before which its source is shown.
std::string essence(const std::exception &problem);

}  // namespace transip
