// The radial bias of a network as piecewise polynomials.
#pragma once

#include "network.h"

#include <vector>

namespace transip::native {

/// An MLP of Gaussian radial basis functions, as in python/transip_md/model/radial.py.
struct RadialNetwork {
  std::vector<double> centres;  ///< Angstrom
  double inverse_width;         ///< 1 / Angstrom
  std::vector<double> hidden_weight, hidden_bias, output_weight, output_bias;
};

/// The same functions of the distance, interpolated.
///
/// Pieces of the fifth degree have the network's values and first two derivatives at both ends (Hermite interpolation),
/// so that forces too are smooth. The spacing is so small that what is left, spacing^6 / 46080 of the sixth derivative,
/// is below the rounding of the precision.
class RadialTable {
 public:
  /// range: Angstrom, up to which distances come; 0: as far as the basis functions reach.
  RadialTable(const RadialNetwork &network, double range, bool single);
  RadialPieces pieces() const;

 private:
  double spacing_;
  int pieces_;
  std::vector<double> coefficients_;
};

}  // namespace transip::native
