// TorchScript and compiled code as an evaluator, by way of libtransip_torch. Internal to libtransip.
#pragma once

#include "modelfile/archive.h"
#include "modelfile/weights.h"
#include "evaluator.h"
#include "torch_interface.h"

#include <memory>

namespace transip {

class TorchEvaluator : public Evaluator {
 public:
  /// Load a file whose archive and metadata have been checked.
  ///
  /// device: "cpu" or "cuda:N". graphs: replay evaluations of an all-to-all model on a CUDA device as CUDA graphs.
  /// Throws Error: libtransip_torch is missing or does not fit, torch cannot load the file, or what is in it is refused.
  TorchEvaluator(const Archive &archive, const std::string &device, bool graphs);
  ~TorchEvaluator() override;
  TorchEvaluator(const TorchEvaluator &) = delete;
  TorchEvaluator &operator=(const TorchEvaluator &) = delete;

  void evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces) override;
  void average(const Request &request, const RotationSet &set, Result &result, bool forces) override;
  std::string name() const override;
  std::string device() const override { return device_; }
  void set_threads(int threads) override;

  /// Whether the file's classes are those whose forward the native kernels repeat.
  bool native_network() const;

  /// All tensors of floating-point numbers that the file's TorchScript holds, by name.
  Weights tensors() const;

 private:
  void run(const Request &request, std::span<const double> positions, const RotationSet *set, Result &result, bool forces);

  const torch_interface::Functions &functions_;
  std::string device_;
  void *model_;
};

/// Number of CUDA devices that torch sees.
int torch_devices();

/// Version of torch that libtransip_torch was compiled against, "2.13.0".
std::string torch_version();

}  // namespace transip
