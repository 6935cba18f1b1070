// A box as three vectors that span space, periodic or not, and the planes between them. Internal to libtransip.
#pragma once

#include <array>
#include <span>

namespace transip {

struct BoxBasis {
  using Vector = std::array<double, 3>;

  std::array<Vector, 3> vectors{};  ///< Angstrom; where the box is not periodic, unit vectors that are normal to the others
  std::array<Vector, 3> dual{};     ///< 1/Angstrom; the place of r along vector a is r . dual[a], in vectors a
  Vector height{};                  ///< Angstrom from one face of the box to the opposite one
};

/// vectors: [9] Angstrom, one after another; not looked at along axes that are not periodic. Throws Error: a box without
/// volume.
BoxBasis basis_of(std::span<const double, 9> vectors, const std::array<bool, 3> &periodic);

}  // namespace transip
