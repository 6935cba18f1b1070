#include "cuda_evaluator.h"

#include "cuda/device_source.h"
#include "transip/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

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
  check_virials(request.virials, forces);
  if (!metadata_.cutoff) return evaluate_molecule(request, positions, result, forces);
  if (!model_) model_ = CudaModel::make(weights_, metadata_, *device_);
  model_->evaluate(request, positions, result, forces);
  if (repulsion_) repulsion_->add(request, positions, result, forces);
}

void CudaEvaluator::evaluate_many(std::span<const Request> requests, std::span<Result> results, bool forces)
{
  if (metadata_.cutoff) {
    Evaluator::evaluate_many(requests, results, forces);
    return;
  }
  // One step of many molecules has no virials of atoms.
  if (std::ranges::any_of(requests, [](const Request &request) { return request.virials; })) {
    Evaluator::evaluate_many(requests, results, forces);
    return;
  }
  for (const Request &request : requests) check_molecule(request, request.positions);
  if (!model_) model_ = CudaModel::make(weights_, metadata_, *device_);
  model_->evaluate_molecules(requests, results, forces);
  for (std::size_t k = 0; repulsion_ && k < requests.size(); k++)
    repulsion_->add(requests[k], requests[k].positions, results[k], forces);
}

void CudaEvaluator::check_molecule(const Request &request, std::span<const double> positions)
{
  if (positions.size() != 3 * request.species.size() || !request.neighbours.empty())
    throw Error("an all-to-all model takes an isolated molecule: no images, no neighbours");
}

/// Of a model that attends all-to-all: its tokens are the structure.
void CudaEvaluator::evaluate_molecule(const Request &request, std::span<const double> positions, Result &result,
                                      bool forces)
{
  check_molecule(request, positions);
  dynamics_->set_atoms(request.species, request.charge, request.multiplicity);
  const cuda::Evaluation &found = dynamics_->evaluate(positions, {forces, false, true, false, request.virials});
  result.energies.assign(found.energies.begin(), found.energies.end());
  result.forces.assign(found.forces.begin(), found.forces.end());
  result.virials.assign(found.virials.begin(), found.virials.end());
}

/// Throws Error: virials of atoms that are wanted of a network that sees coordinates, or without forces.
void CudaEvaluator::check_virials(bool virials, bool forces) const
{
  if (!virials) return;
  if (metadata_.architecture->coordinates)
    throw Error("There is no virial of single atoms for a network that sees coordinates (architecture: coordinates): its "
                "energy is no function of the vectors between atoms. Use the virial of the whole.");
  if (!forces) throw Error("Virials of single atoms are made with the forces, which were not asked for.");
}

void CudaEvaluator::evaluate_structure(const StructureRequest &request, StructureResult &result)
{
  check_virials(request.virials, request.forces);
  dynamics_->set_box({request.box, request.periodic});
  dynamics_->set_atoms(request.species, request.charge, request.multiplicity);
  const cuda::Evaluation &found = dynamics_->evaluate(
      request.positions, {request.forces, request.virial, request.energies, request.nearest, request.virials});
  result.energy = found.energy;
  result.virial = found.virial;
  result.forces = found.forces;
  result.energies = found.energies;
  result.virials = found.virials;
  result.nearest = found.nearest;
  result.pair = found.pair;
}

void CudaEvaluator::evaluate_structures(std::span<const StructureRequest> requests, std::span<StructureResult> results)
{
  if (requests.size() == 1) evaluate_structure(requests[0], results[0]);
  if (requests.size() < 2) return;
  std::vector<std::int64_t> species;
  std::vector<double> positions;
  std::vector<cuda::BatchStructure> batch;
  cuda::Wanted wanted{.forces = false};
  for (const StructureRequest &request : requests) {
    check_virials(request.virials, request.forces);
    species.insert(species.end(), request.species.begin(), request.species.end());
    positions.insert(positions.end(), request.positions.begin(), request.positions.end());
    batch.push_back({request.species.size(), request.charge, request.multiplicity, {request.box, request.periodic}});
    wanted.forces = wanted.forces || request.forces;
    wanted.virial = wanted.virial || request.virial;
    wanted.energies = wanted.energies || request.energies;
    wanted.virials = wanted.virials || request.virials;
  }
  dynamics_->set_batch(species, batch);
  const cuda::Evaluation &found = dynamics_->evaluate(positions, wanted);
  std::size_t first = 0;
  for (std::size_t k = 0; k < requests.size(); k++) {
    const std::size_t atoms = batch[k].atoms;
    const auto part = [&](std::span<const double> all, std::size_t numbers) {
      return all.empty() ? all : all.subspan(numbers * first, numbers * atoms);
    };
    StructureResult &result = results[k];
    result = {};
    result.energy = found.structure_energies[k];
    std::ranges::copy(found.structure_virials.subspan(9 * k, 9), result.virial.begin());
    result.forces = part(found.forces, 3);
    result.energies = part(found.energies, 1);
    result.virials = part(found.virials, 9);
    first += atoms;
  }
}

namespace {

/// Has a device work in a stream of a caller's, and then in its own again.
class InStream {
 public:
  InStream(cuda::Device &device, void *stream) : device_(device), before_(device.stream()) { device.set_stream(stream); }
  ~InStream() { device_.set_stream(before_); }
  InStream(const InStream &) = delete;
  InStream &operator=(const InStream &) = delete;

 private:
  cuda::Device &device_;
  void *before_;
};

}  // namespace

void CudaEvaluator::evaluate_on_device(const DeviceRequest &request, const DeviceResult &result)
{
  check_virials(result.virials != nullptr, true);
  const InStream in_stream(*device_, request.stream);
  const auto fetch = [&](auto &to, const auto *from) {
    const std::size_t bytes = to.size() * sizeof to[0];
    if (bytes > 0)
      device_->download(reinterpret_cast<std::byte *>(to.data()), reinterpret_cast<const std::byte *>(from), bytes);
  };
  const auto copy = [&](double *to, const double *from, std::size_t count) {
    if (to)
      device_->copy(reinterpret_cast<std::byte *>(to), reinterpret_cast<const std::byte *>(from), count * sizeof(double));
  };
  const std::size_t structures = request.atoms.size(),
                    atoms = std::accumulate(request.atoms.begin(), request.atoms.end(), std::size_t{0});
  // A search for neighbours is laid out by the host, which has to know the atoms and the boxes.
  std::vector<std::int64_t> species(atoms);
  std::vector<std::array<double, 9>> boxes(structures);
  fetch(species, request.species);
  if (request.boxes) fetch(boxes, request.boxes);
  for (const std::array<double, 9> &box : boxes)
    if (!std::ranges::all_of(box, [](double value) { return std::isfinite(value); }))
      throw Error("The cell holds values that are not finite (NaN or infinity).");
  if (structures == 1) {
    dynamics_->set_box({boxes[0], request.periodic});
    dynamics_->set_atoms(species, request.charge, request.multiplicity);
  } else {
    std::vector<cuda::BatchStructure> batch;
    for (std::size_t k = 0; k < structures; k++)
      batch.push_back({request.atoms[k], request.charge, request.multiplicity, {boxes[k], request.periodic}});
    dynamics_->set_batch(species, batch);
  }
  copy(dynamics_->device_positions(), request.positions, 3 * atoms);
  const bool virial = result.virial != nullptr, virials = result.virials != nullptr;
  const cuda::Evaluation &found = dynamics_->evaluate_on_device(
      {result.forces != nullptr || virial || virials, virial, result.energies != nullptr, false, virials});
  if (!std::isfinite(found.energy)) {
    std::vector<double> energies(atoms);
    fetch(energies, dynamics_->device_energies());
    const auto bad = std::ranges::find_if_not(energies, [](double value) { return std::isfinite(value); });
    throw NotFinite("The model gave an energy that is not finite (NaN or infinity)",
                    static_cast<std::size_t>(bad - energies.begin()));
  }
  copy(result.energy, structures == 1 ? dynamics_->device_energy() : dynamics_->device_structure_energies(), structures);
  copy(result.virial, structures == 1 ? dynamics_->device_virial() : dynamics_->device_structure_virials(),
       9 * structures);
  copy(result.energies, dynamics_->device_energies(), atoms);
  copy(result.forces, dynamics_->device_forces(), 3 * atoms);
  copy(result.virials, dynamics_->device_virials(), 9 * atoms);
  // Another stream may read the results, and the next evaluation may be in another.
  device_->wait();
}

bool CudaEvaluator::share_neighbours(Evaluator &first)
{
  auto *other = dynamic_cast<CudaEvaluator *>(&first);
  if (!other || other == this || other->device_name_ != device_name_ || !lent_.empty()) return false;
  auto beside = other->dynamics_->make_beside(weights_, metadata_);
  if (!beside) return false;
  // They go before the device that they were made for.
  dynamics_ = std::move(beside);
  model_.reset();
  device_ = other->device_;
  return true;
}

void *CudaEvaluator::allocate_on_device(std::size_t bytes)
{
  auto memory = device_->allocate(bytes);
  void *const place = memory->data();
  lent_.emplace(place, std::move(memory));
  return place;
}

void CudaEvaluator::free_on_device(void *memory)
{
  lent_.erase(memory);
}

std::int64_t CudaEvaluator::memory() const
{
  std::size_t bytes = dynamics_->memory();
  for (const auto &[place, memory] : lent_) bytes += memory->bytes();
  return static_cast<std::int64_t>(bytes) + (model_ ? model_->memory() : 0);
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
