#include "native_evaluator.h"

#include <utility>

namespace transip {

NativeEvaluator::NativeEvaluator(std::unique_ptr<NativeModel> model, std::optional<ShortRange> repulsion,
                                 std::optional<LatentSample> sample, bool exchanges_halo)
    : model_(std::move(model)), repulsion_(std::move(repulsion)), sample_(std::move(sample)), exchanges_halo_(exchanges_halo)
{
}

std::unique_ptr<NativeEvaluator> NativeEvaluator::make(Weights weights, const Metadata &metadata)
{
  std::optional<ShortRange> repulsion = ShortRange::make(weights, metadata);
  std::optional<LatentSample> sample = LatentSample::make(weights, metadata);
  std::unique_ptr<NativeModel> model = NativeModel::make(std::move(weights), metadata);
  if (!model) return nullptr;
  return std::unique_ptr<NativeEvaluator>(
      new NativeEvaluator(std::move(model), std::move(repulsion), std::move(sample), metadata.cutoff.has_value()));
}

void NativeEvaluator::evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces)
{
  model_->evaluate(request, positions, result, forces, request.virials ? &result.virials : nullptr,
                   request.distances ? &embedding_ : nullptr, repulsion_ ? repulsion_->reach() : 0.0,
                   repulsion_ ? &nearby_ : nullptr);
  if (repulsion_) repulsion_->add(request, positions, nearby_, result, forces);
  if (request.distances) sample_->measure(request, embedding_, result);
}

std::string NativeEvaluator::name() const
{
  return "native kernels (" + model_->instructions() + ")";
}

void NativeEvaluator::set_threads(int threads)
{
  model_->set_threads(threads);
}

bool NativeEvaluator::share_neighbours(Evaluator &first)
{
  auto *native = dynamic_cast<NativeEvaluator *>(&first);
  return native && model_->share_memory(*native->model_);
}

native::Workers *NativeEvaluator::workers()
{
  return model_->workers();
}

std::int64_t NativeEvaluator::memory() const
{
  return model_->memory();
}

}  // namespace transip
