// The project's own CUDA kernels as an evaluator. Internal to libtransip.
#pragma once

#include "cuda/cuda_model.h"
#include "evaluator.h"
#include "short_range.h"

#include <memory>
#include <optional>
#include <string>

namespace transip {

class CudaEvaluator : public Evaluator {
 public:
  /// Null: the kernels are not made for this network.
  ///
  /// number: of the GPU, as CUDA_VISIBLE_DEVICES counts them.
  /// Throws Error: no driver, no such GPU, NVRTC is not there or cannot compile the kernels, weights that are missing.
  static std::unique_ptr<CudaEvaluator> make(Weights weights, const Metadata &metadata, int number);

  void evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces) override;
  std::string name() const override;
  std::string device() const override { return device_name_; }
  void set_threads(int) override {}

 private:
  CudaEvaluator() = default;

  std::unique_ptr<cuda::Device> device_{};
  std::unique_ptr<CudaModel> model_{};  // goes before its device
  std::optional<ShortRange> repulsion_{};
  std::string device_name_{};
};

}  // namespace transip
