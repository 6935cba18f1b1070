#include "file_network.h"

#include "transip/error.h"

#include <string>

namespace transip::cuda {

namespace {

int place_in(const Range &range, int value, const char *what)
{
  if (!range.contains(value))
    throw Error("The model does not know " + std::string(what) + " " + std::to_string(value) + ".");
  return value - range.lowest;
}

}  // namespace

bool has_kernels(const Metadata &metadata)
{
  return metadata.conservative && metadata.architecture && fits(metadata.architecture->dim, metadata.architecture->heads);
}

FileNetwork::FileNetwork(const Weights &weights, const Metadata &metadata)
    : single_(metadata.dtype == "float32"), reader_(weights, *metadata.architecture, metadata.cutoff.value_or(0.0)),
      table_(reader_.radial_table(single_))
{
  const Architecture &shape = *metadata.architecture;
  const auto kinds = static_cast<std::int64_t>(metadata.species.size());
  const auto count = [](const Range &range) { return std::int64_t{range.highest} - range.lowest + 1; };
  network_.network = reader_.network();
  if (table_) network_.pieces = table_->pieces();
  network_.species = weights.get("model.species_embedding.weight", {kinds, shape.dim});
  network_.charge = weights.get("model.charge_embedding.weight", {count(metadata.charge), shape.dim});
  network_.multiplicity = weights.get("model.multiplicity_embedding.weight", {count(metadata.multiplicity), shape.dim});
  if (shape.coordinates) network_.coordinates = weights.get("model.coordinates.weight", {shape.dim, 3});
  network_.reference = weights.get("model.reference_energies", {kinds});
  if (shape.charge_energies) network_.charge_energies = weights.get("model.charge_energies", {count(metadata.charge)});
  network_.energy_scale = weights.get("model.energy_scale", {})[0];
}

Embeddings::Embeddings(const Metadata &metadata) : charge_(metadata.charge), multiplicity_(metadata.multiplicity)
{
  for (const std::int64_t number : metadata.species) species_.emplace(number, static_cast<int>(species_.size()));
}

int Embeddings::species(std::int64_t number) const
{
  const auto found = species_.find(number);
  if (found == species_.end()) throw Error("The model does not know atomic number " + std::to_string(number) + ".");
  return found->second;
}

int Embeddings::charge(int charge) const
{
  return place_in(charge_, charge, "charge");
}

int Embeddings::multiplicity(int multiplicity) const
{
  return place_in(multiplicity_, multiplicity, "multiplicity");
}

}  // namespace transip::cuda
