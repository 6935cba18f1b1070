// The project's own kernels as an evaluator. Internal to libtransip.
#pragma once

#include "cpu/native_model.h"
#include "evaluator.h"
#include "latent_sample.h"
#include "short_range.h"

#include <memory>
#include <optional>

namespace transip {

class NativeEvaluator : public Evaluator {
 public:
  /// Null: the kernels are not made for this network.
  ///
  /// Throws Error: weights are missing, or have other shapes than the metadata asks for.
  static std::unique_ptr<NativeEvaluator> make(Weights weights, const Metadata &metadata);

  void evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces) override;
  std::string name() const override;
  std::string device() const override { return "cpu"; }
  bool exchanges_halo() const override { return exchanges_halo_; }
  bool gives_distances() const override { return sample_.has_value(); }
  void set_threads(int threads) override;
  native::Workers *workers() override;
  bool share_neighbours(Evaluator &first) override;
  std::int64_t memory() const override;

 private:
  NativeEvaluator(std::unique_ptr<NativeModel> model, std::optional<ShortRange> repulsion,
                  std::optional<LatentSample> sample, bool exchanges_halo);

  std::unique_ptr<NativeModel> model_;
  std::optional<ShortRange> repulsion_;
  std::optional<LatentSample> sample_;
  bool exchanges_halo_;
  std::vector<double> embedding_{};  // [T*dim], of the evaluation at hand
  std::vector<Edge> nearby_{};       // that may repel, of the evaluation at hand
};

}  // namespace transip
