// The project's own CUDA kernels as an evaluator. Internal to libtransip.
#pragma once

#include "cuda/cuda_model.h"
#include "cuda/dynamics.h"
#include "evaluator.h"
#include "modelfile/weights.h"
#include "short_range.h"
#include "transip/metadata.h"

#include <map>
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
  /// Molecules of a model that attends all-to-all in one step.
  void evaluate_many(std::span<const Request> requests, std::span<Result> results, bool forces) override;
  bool exchanges_halo() const override { return metadata_.cutoff.has_value(); }
  bool evaluates_structures() const override { return true; }
  void evaluate_structure(const StructureRequest &request, StructureResult &result) override;
  void evaluate_structures(std::span<const StructureRequest> requests, std::span<StructureResult> results) override;
  void evaluate_on_device(const DeviceRequest &request, const DeviceResult &result) override;
  bool share_neighbours(Evaluator &first) override;
  void *allocate_on_device(std::size_t bytes) override;
  void free_on_device(void *memory) override;
  std::int64_t memory() const override;
  /// The same network on another device, which must live longer.
  std::unique_ptr<cuda::Dynamics> make_dynamics(cuda::Device &device) const;
  std::string name() const override;
  std::string device() const override { return device_name_; }
  void set_threads(int) override {}

 private:
  CudaEvaluator(Weights weights, const Metadata &metadata, int number);
  void check_virials(bool virials, bool forces) const;
  static void check_molecule(const Request &request, std::span<const double> positions);
  void evaluate_molecule(const Request &request, std::span<const double> positions, Result &result, bool forces);

  Weights weights_;
  Metadata metadata_;
  std::string device_name_;
  std::shared_ptr<cuda::Device> device_;      // one for all that share neighbours
  std::unique_ptr<cuda::Dynamics> dynamics_;  // of whole structures; goes before its device
  std::unique_ptr<CudaModel> model_{};        // of lists that a caller brings, made when there are some
  std::optional<ShortRange> repulsion_;       // of these
  std::map<void *, std::unique_ptr<cuda::Memory>> lent_{};  // to callers, for their arrays
};

}  // namespace transip
