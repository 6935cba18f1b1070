#include "cuda_evaluator.h"

#include "cuda/device_source.h"
#include "transip/error.h"

#include <utility>

namespace transip {

CudaEvaluator::CudaEvaluator(Weights weights, const Metadata &metadata, int number)
    : weights_(std::move(weights)), metadata_(metadata), device_name_("cuda:" + std::to_string(number)),
      device_(cuda::device_source().open(number)), dynamics_(cuda::Dynamics::make(weights_, metadata_, *device_)),
      repulsion_(ShortRange::make(weights_, metadata_))
{
}

std::unique_ptr<CudaEvaluator> CudaEvaluator::make(Weights weights, const Metadata &metadata, int number)
{
  std::unique_ptr<CudaEvaluator> made(new CudaEvaluator(std::move(weights), metadata, number));
  return made->dynamics_ ? std::move(made) : nullptr;
}

void CudaEvaluator::evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces)
{
  if (request.virials) throw Error("The CUDA kernels give no virials of atoms. Use the device cpu.");
  if (!metadata_.cutoff) return evaluate_molecule(request, positions, result, forces);
  if (!model_) model_ = CudaModel::make(weights_, metadata_, *device_);
  model_->evaluate(request, positions, result, forces);
  if (repulsion_) repulsion_->add(request, positions, result, forces);
}

/// Of a model that attends all-to-all: its tokens are the structure.
void CudaEvaluator::evaluate_molecule(const Request &request, std::span<const double> positions, Result &result,
                                      bool forces)
{
  if (positions.size() != 3 * request.species.size() || !request.neighbours.empty())
    throw Error("an all-to-all model takes an isolated molecule: no images, no neighbours");
  dynamics_->set_atoms(request.species, request.charge, request.multiplicity);
  const cuda::Evaluation &found = dynamics_->evaluate(positions, {forces, false, true, false});
  result.energies.assign(found.energies.begin(), found.energies.end());
  result.forces.assign(found.forces.begin(), found.forces.end());
}

void CudaEvaluator::evaluate_structure(const StructureRequest &request, StructureResult &result)
{
  dynamics_->set_box({request.box, request.periodic});
  dynamics_->set_atoms(request.species, request.charge, request.multiplicity);
  const cuda::Evaluation &found = dynamics_->evaluate(
      request.positions, {request.forces, request.virial, request.energies, request.nearest});
  result.energy = found.energy;
  result.virial = found.virial;
  result.forces = found.forces;
  result.energies = found.energies;
  result.nearest = found.nearest;
  result.pair = found.pair;
}

std::unique_ptr<cuda::Dynamics> CudaEvaluator::make_dynamics(cuda::Device &device) const
{
  return cuda::Dynamics::make(weights_, metadata_, device);
}

std::string CudaEvaluator::name() const
{
  return "native CUDA kernels (" + device_->name() + ")";
}

}  // namespace transip
