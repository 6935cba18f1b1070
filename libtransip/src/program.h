// What a model file runs: TorchScript, or code compiled ahead of time. Internal to libtransip.
#pragma once

#include "modelfile/archive.h"
#include "transip/metadata.h"

#include <torch/script.h>

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

  /// Rotations [N, 3, 3] and weights [N] of a set to average over. Throws: no such set.
  std::pair<at::Tensor, at::Tensor> rotation_set(int count, bool inversion);

  /// What run_frame wants to know of a reference: masses [T, 1] and places [T, 3]. Throws: it has no frame.
  std::pair<at::Tensor, at::Tensor> make_frame(const at::Tensor &species, const at::Tensor &reference);

  /// The forward averaged over rotations with weights.
  virtual Output run_average(std::vector<at::Tensor> inputs, const at::Tensor &rotations,
                             const at::Tensor &weights) = 0;

  /// The forward in the frame of a reference, both from make_frame. Throws: the frame is not determined.
  virtual Output run_frame(std::vector<at::Tensor> inputs, const at::Tensor &masses, const at::Tensor &reference) = 0;

  /// The file's TorchScript; null: it holds compiled code.
  virtual torch::jit::Module *scripted() { return nullptr; }

  /// Energies alone, without the gradient where the file has a way of doing so.
  virtual at::Tensor energies(std::vector<at::Tensor> inputs) { return run(std::move(inputs)).energies; }

 protected:
  /// The file's TorchScript for turning structures (python/transip_md/symmetry/module.py), loaded at its first use.
  virtual torch::jit::Module &turning() = 0;
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
