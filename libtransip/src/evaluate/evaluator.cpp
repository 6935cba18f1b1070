#include "evaluator.h"

#include "transip/error.h"

#include <utility>

namespace transip {

namespace {

std::vector<double> product(std::span<const double> rows, std::span<const double> rotation, bool inverse)
{
  std::vector<double> found(rows.size());
  for (std::size_t i = 0; i + 2 < rows.size(); i += 3)
    for (std::size_t a = 0; a < 3; a++)
      for (std::size_t b = 0; b < 3; b++) found[i + a] += rows[i + b] * rotation[inverse ? 3 * b + a : 3 * a + b];
  return found;
}

}  // namespace

std::vector<double> rotated(std::span<const double> rows, std::span<const double> rotation)
{
  return product(rows, rotation, false);
}

std::vector<double> rotated_back(std::span<const double> rows, std::span<const double> rotation)
{
  return product(rows, rotation, true);
}

void Evaluator::evaluate_structure(const StructureRequest &, StructureResult &)
{
  throw Error(name() + " wants the neighbours of a structure.");
}

void Evaluator::evaluate_structures(std::span<const StructureRequest>, std::span<StructureResult>)
{
  throw Error(name() + " wants the neighbours of structures.");
}

void Evaluator::evaluate_many(std::span<const Request> requests, std::span<Result> results, bool forces)
{
  std::size_t before = 0;
  for (std::size_t k = 0; k < requests.size(); k++) {
    try {
      evaluate(requests[k], requests[k].positions, results[k], forces);
    } catch (const NotFinite &problem) {
      throw NotFinite(problem.what(), before + problem.row());
    }
    before += requests[k].species.size();
  }
}

void Evaluator::evaluate_on_device(const DeviceRequest &, const DeviceResult &)
{
  throw Error(name() + " takes arrays of the host. Load the model with device cuda and kernels native.");
}

void *Evaluator::allocate_on_device(std::size_t)
{
  throw Error(name() + " keeps no arrays on a device. Load the model with device cuda and kernels native.");
}

void Evaluator::free_on_device(void *) {}

void Evaluator::average(const Request &request, const RotationSet &set, Result &result, bool forces)
{
  std::vector<double> energies(request.species.size()), sum(forces ? request.positions.size() : 0);
  std::vector<double> virials(request.virials ? 9 * request.species.size() : 0);
  std::vector<double> distances(request.distances ? request.species.size() : 0);
  for (std::size_t n = 0; n < set.weights.size(); n++) {
    const std::span<const double> rotation = std::span(set.rotations).subspan(9 * n, 9);
    const double weight = set.weights[n];
    evaluate(request, rotated(request.positions, rotation), result, forces);
    for (std::size_t t = 0; t < energies.size(); t++) energies[t] += weight * result.energies[t];
    for (std::size_t t = 0; t < distances.size(); t++) distances[t] += weight * result.distances[t];
    const std::vector<double> back = rotated_back(result.forces, rotation);
    for (std::size_t i = 0; i < back.size(); i++) sum[i] += weight * back[i];
    for (std::size_t t = 0; t < virials.size(); t += 9) {
      // W = R^T W' R: first its rows, then its columns.
      const std::vector<double> half = rotated_back(std::span(result.virials).subspan(t, 9), rotation);
      for (std::size_t a = 0; a < 3; a++)
        for (std::size_t b = 0; b < 3; b++)
          for (std::size_t k = 0; k < 3; k++) virials[t + 3 * a + b] += weight * rotation[3 * k + a] * half[3 * k + b];
    }
  }
  result.energies = std::move(energies);
  result.forces = std::move(sum);
  result.virials = std::move(virials);
  result.distances = std::move(distances);
}

}  // namespace transip
