// What two implementations of one model may differ by: the twin of PARITY in python/transip_md/common/tolerances.py.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace transip {

struct Tolerance {
  double energy;  ///< total energy, eV
  double force;   ///< a force component, eV/Angstrom

  /// Energy tolerance of a structure of so many atoms, eV: each adds its own rounding, so that from 100 on it grows with them.
  constexpr double energy_of(std::int64_t atoms) const
  {
    return energy * std::max(1.0, static_cast<double>(atoms) / 100.0);
  }
};

/// Tolerances by the dtype of the weights.
constexpr Tolerance parity(std::string_view dtype)
{
  return dtype == "float64" ? Tolerance{1e-9, 1e-8} : Tolerance{1e-5, 1e-4};
}

}  // namespace transip
