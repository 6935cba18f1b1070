#include "torch_evaluator.h"

#include "neighbours/same_place.h"
#include "torch_library.h"
#include "transip/error.h"

#include <utility>

namespace transip {

TorchEvaluator::TorchEvaluator(const Archive &archive, const std::string &device, bool graphs)
    : functions_(torch_functions()), device_(device)
{
  const torch_interface::File file{archive.path().c_str(), archive.bytes().data(), archive.bytes().size(),
                                   device.c_str(), graphs};
  model_ = functions_.load(&file);
  if (!model_) throw Error(functions_.message());
}

TorchEvaluator::~TorchEvaluator()
{
  functions_.release(model_);
}

void TorchEvaluator::evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces)
{
  run(request, positions, nullptr, result, forces);
}

void TorchEvaluator::average(const Request &request, const RotationSet &set, Result &result, bool forces)
{
  run(request, request.positions, &set, result, forces);
}

void TorchEvaluator::run(const Request &request, std::span<const double> positions, const RotationSet *set,
                         Result &result, bool forces)
{
  if (request.exchange) throw Error("Only native kernels take a halo exchange.");
  if (request.virials)
    throw Error("Virials of single atoms are made by native kernels; " + name() + " has none. Use the virial of the whole.");
  const auto rows = static_cast<std::int64_t>(positions.size() / 3);
  for (const std::int64_t row : request.neighbours)
    if (row < 0 || row >= rows)
      throw Error("A neighbour is row " + std::to_string(row) + " of " + std::to_string(rows) + ".");
  check_apart(positions);
  result.energies.resize(request.species.size());
  result.forces.resize(forces ? positions.size() : 0);
  torch_interface::Evaluation evaluation{};
  evaluation.tokens = static_cast<std::int64_t>(request.species.size());
  evaluation.rows = rows;
  evaluation.species = request.species.data();
  evaluation.positions = positions.data();
  evaluation.owner = request.owner.empty() ? nullptr : request.owner.data();
  evaluation.owned = request.owned.empty() ? nullptr : request.owned.data();
  evaluation.first = request.first.empty() ? nullptr : request.first.data();
  evaluation.neighbours = request.neighbours.data();
  evaluation.charge = request.charge;
  evaluation.multiplicity = request.multiplicity;
  if (set) {
    evaluation.rotations = static_cast<std::int64_t>(set->weights.size());
    evaluation.rotation = set->rotations.data();
    evaluation.weight = set->weights.data();
  }
  evaluation.energies = result.energies.data();
  evaluation.forces = forces ? result.forces.data() : nullptr;
  if (!functions_.evaluate(model_, &evaluation)) throw Error(functions_.message());
}

std::string TorchEvaluator::name() const
{
  return functions_.name(model_);
}

void TorchEvaluator::set_threads(int threads)
{
  functions_.set_threads(threads);
}

bool TorchEvaluator::native_network() const
{
  return functions_.native_network(model_);
}

Weights TorchEvaluator::tensors() const
{
  Weights weights;
  const auto take = [](const char *name, const std::int64_t *shape, int dimensions, const double *values, void *caller) {
    std::int64_t count = 1;
    for (int d = 0; d < dimensions; d++) count *= shape[d];
    static_cast<Weights *>(caller)->add(name, {shape, shape + dimensions}, {values, values + count});
  };
  if (!functions_.tensors(model_, take, &weights)) throw Error(functions_.message());
  return weights;
}

int torch_devices()
{
  return torch_functions().devices();
}

std::string torch_version()
{
  return torch_functions().version();
}

}  // namespace transip
