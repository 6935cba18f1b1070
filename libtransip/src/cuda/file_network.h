// A model file's network, ready to be packed for the kernels. Internal to libtransip.
#pragma once

#include "cpu/network_reader.h"
#include "modelfile/weights.h"
#include "packed_weights.h"
#include "transip/metadata.h"

#include <cstdint>
#include <optional>
#include <unordered_map>

namespace transip::cuda {

/// Whether the kernels are made for a model: forces are the gradient of the energy, and its shape fits (kernels/tiles.h).
bool has_kernels(const Metadata &metadata);

/// A network whose arrays are those of the weights.
class FileNetwork {
 public:
  /// weights, metadata: live as long as this. Throws Error: weights are missing or have other shapes than the metadata asks
  /// for.
  FileNetwork(const Weights &weights, const Metadata &metadata);
  FileNetwork(const FileNetwork &) = delete;
  FileNetwork &operator=(const FileNetwork &) = delete;

  const NetworkWeights &weights() const { return network_; }
  bool single() const { return single_; }

 private:
  bool single_;
  NetworkReader reader_;
  std::optional<native::RadialTable> table_;
  NetworkWeights network_{};
};

/// Places of elements, charges and multiplicities in a network's embeddings. All throw Error: the model does not know them.
class Embeddings {
 public:
  explicit Embeddings(const Metadata &metadata);

  int species(std::int64_t number) const;
  int charge(int charge) const;
  int multiplicity(int multiplicity) const;

 private:
  std::unordered_map<std::int64_t, int> species_{};
  Range charge_{}, multiplicity_{};
};

}  // namespace transip::cuda
