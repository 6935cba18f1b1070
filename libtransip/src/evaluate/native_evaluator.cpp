#include "native_evaluator.h"

#include <utility>

namespace transip {

NativeEvaluator::NativeEvaluator(std::unique_ptr<NativeModel> model, bool exchanges)
    : model_(std::move(model)), exchanges_(exchanges)
{
}

std::unique_ptr<NativeEvaluator> NativeEvaluator::make(Weights weights, const Metadata &metadata)
{
  std::unique_ptr<NativeModel> model = NativeModel::make(std::move(weights), metadata);
  if (!model) return nullptr;
  return std::unique_ptr<NativeEvaluator>(new NativeEvaluator(std::move(model), metadata.cutoff.has_value()));
}

void NativeEvaluator::evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces)
{
  model_->evaluate(request, positions, result, forces, request.virials ? &result.virials : nullptr);
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
