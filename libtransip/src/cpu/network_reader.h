// A TransIP network's layers and tables out of its weights. Internal to libtransip.
#pragma once

#include "modelfile/weights.h"
#include "network.h"
#include "radial.h"
#include "transip/metadata.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace transip {

/// Layers and tables as the kernels take them; everything is compared with the architecture before it is used.
class NetworkReader {
 public:
  /// weights, architecture: live as long as what is read. cutoff: Angstrom; 0 for attention over all atoms.
  NetworkReader(const Weights &weights, const Architecture &architecture, double cutoff)
      : weights_(weights), shape_(architecture), cutoff_(cutoff)
  {
  }

  /// Network whose arrays are those of the weights, and of this reader. Throws Error: weights are missing, or have other
  /// shapes than the architecture asks for.
  native::Network network();

  /// Radial biases; none if the network has none. single: for float32.
  std::optional<native::RadialTable> radial_table(bool single) const;

 private:
  native::Linear linear(const std::string &name, std::int64_t out, std::int64_t in) const;
  native::Norm norm(const std::string &name) const;

  const Weights &weights_;
  const Architecture &shape_;
  double cutoff_;
  std::vector<native::Layer> layers_;
};

}  // namespace transip
