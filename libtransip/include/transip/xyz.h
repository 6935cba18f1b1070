// Structures in the XYZ format: what a run keeps as the reference of its frame.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace transip {

struct Structure {
  std::vector<std::int64_t> species;  ///< [N] atomic numbers
  std::vector<double> positions;      ///< [N*3] Angstrom
};

/// The first structure of an XYZ file; extended XYZ too, if its first columns are the element and x, y, z.
///
/// Throws Error, naming `path`: it cannot be read, or is no XYZ file.
Structure read_xyz(const std::string &path);

/// Write a structure with every digit; the file appears whole or not at all. Throws Error: it cannot be written.
void write_xyz(const std::string &path, std::span<const std::int64_t> species, std::span<const double> positions,
               const std::string &comment);

}  // namespace transip
