// A box as engines give it. Internal to libtransip.
#pragma once

#include <array>
#include <cstddef>

namespace transip::cuda {

/// A box and along which of its vectors it is periodic.
struct Periodicity {
  std::array<double, 9> vectors{};  ///< three, one after another, Angstrom; not looked at where not periodic
  std::array<bool, 3> periodic{};

  bool any() const { return periodic[0] || periodic[1] || periodic[2]; }
  bool operator==(const Periodicity &) const = default;
};

/// One of several structures that do not see one another.
struct BatchStructure {
  std::size_t atoms = 0;
  int charge = 0, multiplicity = 1;  ///< total charge, e; spin multiplicity
  Periodicity box{};

  bool operator==(const BatchStructure &) const = default;
};

}  // namespace transip::cuda
