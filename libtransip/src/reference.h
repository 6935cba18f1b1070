// A structure with the Python reference's numbers (`reference.json` of a model file). Internal to libtransip.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace transip {

struct Reference {
  std::vector<std::int64_t> species, owner, neighbours;
  std::vector<double> positions;  ///< [I*3] Angstrom
  int charge = 0;
  int multiplicity = 1;
  double energy = 0.0;         ///< eV
  std::vector<double> forces;  ///< [I*3] eV/Angstrom
};

/// Throws Error, naming `path`: not JSON, or a key missing.
Reference parse_reference(std::string_view json, const std::string &path);

}  // namespace transip
