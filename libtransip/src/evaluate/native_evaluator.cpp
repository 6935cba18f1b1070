#include "native_evaluator.h"

#include <utility>

namespace transip {

NativeEvaluator::NativeEvaluator(std::unique_ptr<NativeModel> model, std::optional<ShortRange> repulsion, bool exchanges_halo)
    : model_(std::move(model)), repulsion_(std::move(repulsion)), exchanges_halo_(exchanges_halo)
{
}

std::unique_ptr<NativeEvaluator> NativeEvaluator::make(Weights weights, const Metadata &metadata)
{
  std::optional<ShortRange> repulsion = ShortRange::make(weights, metadata);
  std::unique_ptr<NativeModel> model = NativeModel::make(std::move(weights), metadata);
  if (!model) return nullptr;
  return std::unique_ptr<NativeEvaluator>(
      new NativeEvaluator(std::move(model), std::move(repulsion), metadata.cutoff.has_value()));
}

void NativeEvaluator::evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces)
{
  model_->evaluate(request, positions, result, forces, request.virials ? &result.virials : nullptr);
  if (repulsion_) repulsion_->add(request, positions, result, forces);
}

std::string NativeEvaluator::name() const
{
  return "native kernels (" + model_->instructions() + ")";
}

void NativeEvaluator::set_threads(int threads)
{
  model_->set_threads(threads);
}

std::int64_t NativeEvaluator::memory() const
{
  return model_->memory();
}

}  // namespace transip
