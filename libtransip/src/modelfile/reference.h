// A structure with the Python reference's numbers (`reference.json` of a model file). Internal to libtransip.
#pragma once

#include "transip/metadata.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace transip {

/// Energy and forces of the structure in one state.
struct ReferenceState {
  int charge = 0;
  int multiplicity = 1;
  double energy = 0.0;           ///< eV
  std::vector<double> forces;    ///< [I*3] eV/Angstrom
  double energy_rounding = 0.0;  ///< eV: what the weights' precision does to the energy, measured at export
  double force_rounding = 0.0;   ///< eV/Angstrom: the same of the worst force component
};

struct Reference {
  std::vector<std::int64_t> species, owner;
  std::vector<std::int64_t> first, neighbours;  ///< lists; the file has as many slots for each token, padded with -1
  std::vector<double> positions;  ///< [I*3] Angstrom
  std::vector<ReferenceState> states;
};

/// Read a `reference.json` that goes with the metadata of its file: format 1 has one state, format 2 a list.
///
/// Throws Error, naming `path`: not JSON, a key missing, arrays that do not fit together, elements, charges or
/// multiplicities that the model does not know, values that are not finite.
Reference parse_reference(std::span<const unsigned char> text, const Metadata &metadata, const std::string &path);

}  // namespace transip
