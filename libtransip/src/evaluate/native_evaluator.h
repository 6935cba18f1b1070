// The project's own kernels as an evaluator. Internal to libtransip.
#pragma once

#include "cpu/native_model.h"
#include "evaluator.h"
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
  void set_threads(int threads) override;
  std::int64_t memory() const override;

 private:
  NativeEvaluator(std::unique_ptr<NativeModel> model, std::optional<ShortRange> repulsion, bool exchanges_halo);

  std::unique_ptr<NativeModel> model_;
  std::optional<ShortRange> repulsion_;
  bool exchanges_halo_;
};

}  // namespace transip
