// A model that torch evaluates, on a device. Internal to libtransip_torch.
#pragma once

#include "cuda_graph.h"
#include "evaluate/torch_interface.h"
#include "program.h"

#include <memory>
#include <string>

namespace transip {

class TorchModel {
 public:
  /// Load a file. Throws Error: see load_program, and what parse_metadata and Archive throw.
  explicit TorchModel(const torch_interface::File &file);
  ~TorchModel();
  TorchModel(const TorchModel &) = delete;
  TorchModel &operator=(const TorchModel &) = delete;

  /// "TorchScript" or "compiled code", with ", CUDA graphs".
  const std::string &name() const { return name_; }

  bool native_network() { return program_->native_network(); }

  /// Hand out all tensors of floating-point numbers of the file's TorchScript.
  void tensors(torch_interface::TakeTensor take, void *caller);

  /// Throws whatever torch complains of.
  void evaluate(const torch_interface::Evaluation &evaluation);

 private:
  Output run(const torch_interface::Evaluation &evaluation);

  c10::Device device_;
  bool compiled_ = false;
  std::unique_ptr<Program> program_;
  std::unique_ptr<CudaGraph> graph_;  // null: kernels are launched one by one
  std::string name_;
};

}  // namespace transip
