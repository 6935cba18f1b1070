#include "latent_sample.h"

#include "transip/error.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace transip {

std::optional<LatentSample> LatentSample::make(const Weights &weights, const Metadata &metadata)
{
  if (!metadata.architecture || !metadata.has_sample()) return std::nullopt;
  const auto kinds = static_cast<std::int64_t>(metadata.species.size());
  const std::int64_t dim = metadata.architecture->dim;
  const std::int64_t atoms = weights.extent("latent_sample.atoms", 1);
  if (atoms < 1) throw Error("The file's sample of its training set has no atoms. Export the model again.");
  LatentSample made;
  made.dim_ = static_cast<std::size_t>(dim);
  made.atoms_ = static_cast<std::size_t>(atoms);
  made.whitening_ = weights.get("latent_sample.whitening", {dim, dim});
  made.offset_ = weights.get("latent_sample.offset", {kinds, dim});
  const std::vector<double> &sample = weights.get("latent_sample.atoms", {kinds, atoms, dim});
  made.sample_.resize(sample.size());
  for (std::size_t kind = 0; kind < metadata.species.size(); kind++)
    for (std::size_t atom = 0; atom < made.atoms_; atom++)
      for (std::size_t j = 0; j < made.dim_; j++)
        made.sample_[(kind * made.dim_ + j) * made.atoms_ + atom] = sample[(kind * made.atoms_ + atom) * made.dim_ + j];
  made.scale_ = weights.get("latent_sample.scale", {kinds});
  for (const double scale : made.scale_)
    if (!(scale > 0.0)) throw Error("The file's sample of its training set has a scale of 0 or less. Export the model again.");
  const std::vector<double> &scale = weights.get("model.energy_norm.weight", {dim});
  const std::vector<double> &shift = weights.get("model.energy_norm.bias", {dim});
  for (std::size_t i = 0; i < made.dim_; i++)
    for (std::size_t j = 0; j < made.dim_; j++) {
      double &element = made.whitening_[i * made.dim_ + j];
      for (std::size_t kind = 0; kind < made.scale_.size(); kind++) made.offset_[kind * made.dim_ + j] -= shift[i] * element;
      element *= scale[i];
    }
  for (std::size_t place = 0; place < metadata.species.size(); place++)
    made.place_of_species_[metadata.species[place]] = place;
  return made;
}

void LatentSample::measure(const Request &request, std::span<const double> normalised, Result &result) const
{
  const std::size_t tokens = request.species.size();
  result.distances.resize(tokens);
  std::vector<double> white(dim_), squared(atoms_);
  for (std::size_t t = 0; t < tokens; t++) {
    const auto place = place_of_species_.find(request.species[t]);
    if (place == place_of_species_.end())
      throw Error("The model does not know atomic number " + std::to_string(request.species[t]) + ".");
    const std::size_t kind = place->second;
    for (std::size_t j = 0; j < dim_; j++) white[j] = -offset_[kind * dim_ + j];
    for (std::size_t i = 0; i < dim_; i++) {
      const double feature = normalised[t * dim_ + i], *row = &whitening_[i * dim_];
      for (std::size_t j = 0; j < dim_; j++) white[j] += feature * row[j];
    }
    std::fill(squared.begin(), squared.end(), 0.0);
    for (std::size_t j = 0; j < dim_; j++) {
      const double here = white[j], *known = &sample_[(kind * dim_ + j) * atoms_];
      for (std::size_t atom = 0; atom < atoms_; atom++) squared[atom] += (here - known[atom]) * (here - known[atom]);
    }
    result.distances[t] = std::sqrt(*std::min_element(squared.begin(), squared.end())) / scale_[kind];
  }
}

}  // namespace transip
