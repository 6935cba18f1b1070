#include "cuda_evaluator.h"

#include "cuda/gpu.h"

#include <utility>

namespace transip {

std::unique_ptr<CudaEvaluator> CudaEvaluator::make(Weights weights, const Metadata &metadata, int number)
{
  std::unique_ptr<CudaEvaluator> made(new CudaEvaluator);
  made->device_ = cuda::open_gpu(number);
  made->device_name_ = "cuda:" + std::to_string(number);
  made->repulsion_ = ShortRange::make(weights, metadata);
  made->model_ = CudaModel::make(std::move(weights), metadata, *made->device_);
  return made->model_ ? std::move(made) : nullptr;
}

void CudaEvaluator::evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces)
{
  model_->evaluate(request, positions, result, forces);
  if (repulsion_) repulsion_->add(request, positions, result, forces);
}

std::string CudaEvaluator::name() const
{
  return "native CUDA kernels (" + device_->name() + ")";
}

}  // namespace transip
