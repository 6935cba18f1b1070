// The box of a reference structure, which its file does not name. Internal to libtransip.
#pragma once

#include "reference.h"

#include <array>
#include <optional>

namespace transip {

struct ReferenceBox {
  std::array<double, 9> vectors{};  ///< Angstrom, one after another; zeros along those that are not periodic
  std::array<bool, 3> periodic{};
};

/// The lattice that leads from the tokens of a reference to their images: its shortest vectors, which are a basis in three
/// dimensions. Without images the structure is isolated.
///
/// None: some image does not lie in the lattice of the shortest ones.
std::optional<ReferenceBox> box_of(const Reference &reference);

}  // namespace transip
