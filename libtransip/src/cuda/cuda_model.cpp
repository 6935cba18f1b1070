#include "cuda_model.h"

#include "file_network.h"
#include "lists.h"
#include "neighbours/same_place.h"
#include "step_runner.h"
#include "transip/error.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

namespace transip {

struct CudaModel::Impl {
  explicit Impl(const Metadata &metadata) : embeddings(metadata), cutoff(metadata.cutoff.value_or(0.0)) {}

  cuda::Embeddings embeddings;
  double cutoff;  // Angstrom; 0: none
  std::unique_ptr<cuda::StepRunner> runner;
  cuda::Lists lists;  // of the evaluation at hand, kept for the next

  void fill(const Request &request, std::span<const double> positions, const cuda::Inputs &to) const;
};

CudaModel::CudaModel(const Metadata &metadata) : impl_(std::make_unique<Impl>(metadata)) {}
CudaModel::~CudaModel() = default;

std::unique_ptr<CudaModel> CudaModel::make(const Weights &weights, const Metadata &metadata, cuda::Device &device)
{
  if (!cuda::has_kernels(metadata)) return nullptr;
  const cuda::FileNetwork network(weights, metadata);
  std::unique_ptr<CudaModel> made(new CudaModel(metadata));
  made->impl_->runner = cuda::make_runner(device, network.weights(), network.single());
  return made;
}

void CudaModel::Impl::fill(const Request &request, std::span<const double> positions, const cuda::Inputs &to) const
{
  const std::size_t tokens = request.species.size();
  std::copy(positions.begin(), positions.end(), to.positions);
  lists.put(to);
  for (std::size_t t = 0; t < tokens; t++) to.species[t] = embeddings.species(request.species[t]);
  std::fill_n(to.charge, tokens, embeddings.charge(request.charge));
  std::fill_n(to.multiplicity, tokens, embeddings.multiplicity(request.multiplicity));
  std::fill_n(to.begin, tokens, 0);
  std::fill_n(to.end, tokens, static_cast<int>(tokens));
  if (request.owned.empty())
    std::fill_n(to.owned, tokens, static_cast<unsigned char>(1));
  else
    std::transform(request.owned.begin(), request.owned.end(), to.owned,
                   [](std::uint8_t owned) { return static_cast<unsigned char>(owned != 0); });
}

void CudaModel::evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces)
{
  Impl &impl = *impl_;
  const std::size_t tokens = request.species.size();
  if (!request.owned.empty() && request.owned.size() != tokens)
    throw Error("A structure has " + std::to_string(tokens) + " tokens and " + std::to_string(request.owned.size()) +
                " values of owned.");
  for (const std::int64_t species : request.species) impl.embeddings.species(species);
  impl.embeddings.charge(request.charge);
  impl.embeddings.multiplicity(request.multiplicity);
  impl.lists.make(request, positions, impl.cutoff);
  const cuda::Counts counts = impl.lists.counts(tokens);
  const cuda::Results &found =
      impl.runner->run(counts, {forces, request.virials}, [&](const cuda::Inputs &to) { impl.fill(request, positions, to); },
                       request.exchange);
  if (*found.clash >= 0) throw_same_place(static_cast<std::size_t>(*found.clash));
  result.energies.assign(found.energies, found.energies + tokens);
  result.energy = *found.energy;
  if (forces)
    result.forces.assign(found.forces, found.forces + positions.size());
  else
    result.forces.clear();
  if (request.virials) result.virials.assign(found.virials, found.virials + 9 * tokens);
}

void CudaModel::evaluate_molecules(std::span<const Request> requests, std::span<Result> results, bool forces)
{
  Impl &impl = *impl_;
  std::vector<std::size_t> begin{0};
  std::vector<double> positions;
  for (const Request &request : requests) {
    begin.push_back(begin.back() + request.species.size());
    positions.insert(positions.end(), request.positions.begin(), request.positions.end());
  }
  const std::size_t tokens = begin.back();
  // Before anything is put where the device reads it: these may throw.
  std::vector<int> species;
  std::vector<int> charges, multiplicities;
  for (const Request &request : requests) {
    for (const std::int64_t number : request.species) species.push_back(impl.embeddings.species(number));
    charges.push_back(impl.embeddings.charge(request.charge));
    multiplicities.push_back(impl.embeddings.multiplicity(request.multiplicity));
  }
  impl.lists.make_molecules(begin, positions);
  const auto fill = [&](const cuda::Inputs &to) {
    std::ranges::copy(positions, to.positions);
    impl.lists.put(to);
    std::ranges::copy(species, to.species);
    std::fill_n(to.owned, tokens, static_cast<unsigned char>(1));
    for (std::size_t k = 0; k < requests.size(); k++) {
      const auto each = [&](int *array, int value) { std::fill(array + begin[k], array + begin[k + 1], value); };
      each(to.charge, charges[k]);
      each(to.multiplicity, multiplicities[k]);
      each(to.begin, static_cast<int>(begin[k]));
      each(to.end, static_cast<int>(begin[k + 1]));
    }
  };
  const cuda::Results &found = impl.runner->run(impl.lists.counts(tokens), {forces, false}, fill, nullptr);
  if (*found.clash >= 0) throw_same_place(static_cast<std::size_t>(*found.clash));
  for (std::size_t k = 0; k < requests.size(); k++) {
    Result &result = results[k];
    result.energies.assign(found.energies + begin[k], found.energies + begin[k + 1]);
    result.energy = std::accumulate(result.energies.begin(), result.energies.end(), 0.0);
    result.forces.clear();
    if (forces) result.forces.assign(found.forces + 3 * begin[k], found.forces + 3 * begin[k + 1]);
  }
}

std::int64_t CudaModel::memory() const
{
  return static_cast<std::int64_t>(impl_->runner->memory());
}

const void *CudaModel::step() const
{
  return impl_->runner->step();
}

}  // namespace transip
