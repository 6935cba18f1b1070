// How far atoms are from those of the training set, in the latent space. Internal to libtransip.
#pragma once

#include "modelfile/weights.h"
#include "transip/metadata.h"
#include "transip/model.h"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace transip {

/// Sample of the training set that a file may bring; the twin of python/transip_md/model/latent_sample.py, which names
/// the source.
class LatentSample {
 public:
  /// None: the file has no sample.
  ///
  /// Throws Error: its arrays have other shapes than its metadata asks for.
  static std::optional<LatentSample> make(const Weights &weights, const Metadata &metadata);

  /// Distances of a request's tokens into the result; `normalised` [T*dim] is what the last layer norm makes of them,
  /// before its scale and shift.
  ///
  /// Throws Error: a species that the model does not know.
  void measure(const Request &request, std::span<const double> normalised, Result &result) const;

 private:
  LatentSample() = default;

  std::map<std::int64_t, std::size_t> place_of_species_{};
  std::size_t dim_ = 0, atoms_ = 0;  // atoms of each element
  std::vector<double> whitening_{};  // [dim*dim], with the scale of the norm
  std::vector<double> offset_{};     // [species*dim], without the shift of the norm
  std::vector<double> sample_{};     // [species*dim*atoms], so that loops over atoms are vectors
  std::vector<double> scale_{};      // [species]
};

}  // namespace transip
