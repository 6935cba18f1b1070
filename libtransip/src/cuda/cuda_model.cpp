#include "cuda_model.h"

#include "cpu/network_reader.h"
#include "neighbours/same_place.h"
#include "step_runner.h"
#include "transip/error.h"

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>

namespace transip {

struct CudaModel::Impl {
  std::unordered_map<std::int64_t, int> index_of_species;
  Range charge, multiplicity;
  double cutoff = 0.0;  // Angstrom; 0: none
  std::unique_ptr<cuda::StepRunner> runner;
  cuda::Lists lists;  // of the evaluation at hand, kept for the next

  int index(const Range &range, int value, const char *what) const;
  void fill(const Request &request, std::span<const double> positions, const cuda::Inputs &to) const;
};

CudaModel::CudaModel() : impl_(std::make_unique<Impl>()) {}
CudaModel::~CudaModel() = default;

std::unique_ptr<CudaModel> CudaModel::make(Weights weights, const Metadata &metadata, cuda::Device &device)
{
  if (!metadata.conservative || !metadata.architecture) return nullptr;
  const Architecture &shape = *metadata.architecture;
  if (!cuda::fits(shape.dim, shape.heads)) return nullptr;

  std::unique_ptr<CudaModel> made(new CudaModel);
  Impl &impl = *made->impl_;
  impl.cutoff = metadata.cutoff.value_or(0.0);
  impl.charge = metadata.charge;
  impl.multiplicity = metadata.multiplicity;
  for (std::size_t place = 0; place < metadata.species.size(); place++)
    impl.index_of_species[metadata.species[place]] = static_cast<int>(place);

  const bool single = metadata.dtype == "float32";
  const auto kinds = static_cast<std::int64_t>(metadata.species.size());
  const auto count = [](const Range &range) { return std::int64_t{range.highest} - range.lowest + 1; };
  NetworkReader reader(weights, shape, impl.cutoff);
  const std::optional<native::RadialTable> table = reader.radial_table(single);
  cuda::NetworkWeights network;
  network.network = reader.network();
  if (table) network.pieces = table->pieces();
  network.species = weights.get("model.species_embedding.weight", {kinds, shape.dim});
  network.charge = weights.get("model.charge_embedding.weight", {count(metadata.charge), shape.dim});
  network.multiplicity = weights.get("model.multiplicity_embedding.weight", {count(metadata.multiplicity), shape.dim});
  if (shape.coordinates) network.coordinates = weights.get("model.coordinates.weight", {shape.dim, 3});
  network.reference = weights.get("model.reference_energies", {kinds});
  network.energy_scale = weights.get("model.energy_scale", {})[0];
  impl.runner = cuda::make_runner(device, network, single);
  return made;
}

int CudaModel::Impl::index(const Range &range, int value, const char *what) const
{
  if (!range.contains(value))
    throw Error("The model does not know " + std::string(what) + " " + std::to_string(value) + ".");
  return value - range.lowest;
}

void CudaModel::Impl::fill(const Request &request, std::span<const double> positions, const cuda::Inputs &to) const
{
  const std::size_t tokens = request.species.size();
  std::copy(positions.begin(), positions.end(), to.positions);
  const auto put = [](const std::vector<int> &from, int *place) { std::copy(from.begin(), from.end(), place); };
  put(lists.owner, to.owner);
  put(lists.image_first, to.image_first);
  put(lists.image_row, to.image_row);
  put(lists.first, to.first);
  put(lists.row, to.row);
  put(lists.back_first, to.back_first);
  put(lists.back_edge, to.back_edge);
  put(lists.back_token, to.back_token);
  for (std::size_t t = 0; t < tokens; t++) to.species[t] = index_of_species.at(request.species[t]);
  std::fill_n(to.charge, tokens, index(charge, request.charge, "charge"));
  std::fill_n(to.multiplicity, tokens, index(multiplicity, request.multiplicity, "multiplicity"));
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
  if (request.exchange)
    throw Error("The CUDA kernels have no halo exchange between ranks: give atoms of other ranks as tokens.");
  if (request.virials) throw Error("The CUDA kernels give no virials of atoms. Use the device cpu.");
  const std::size_t tokens = request.species.size();
  if (!request.owned.empty() && request.owned.size() != tokens)
    throw Error("A structure has " + std::to_string(tokens) + " tokens and " + std::to_string(request.owned.size()) +
                " values of owned.");
  for (const std::int64_t species : request.species)
    if (!impl.index_of_species.contains(species))
      throw Error("The model does not know atomic number " + std::to_string(species) + ".");
  impl.index(impl.charge, request.charge, "charge");
  impl.index(impl.multiplicity, request.multiplicity, "multiplicity");
  impl.lists.make(request, positions, impl.cutoff);
  const cuda::Counts counts = impl.lists.counts(tokens);
  const cuda::Results &found =
      impl.runner->run(counts, forces, [&](const cuda::Inputs &to) { impl.fill(request, positions, to); });
  if (*found.clash >= 0) throw_same_place(static_cast<std::size_t>(*found.clash));
  result.energies.assign(found.energies, found.energies + tokens);
  result.energy = *found.energy;
  if (forces)
    result.forces.assign(found.forces, found.forces + positions.size());
  else
    result.forces.clear();
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
