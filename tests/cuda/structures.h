// Structures for tests, with rows and neighbours found by looking at every pair.
#pragma once

#include "transip/model.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

struct TestStructure {
  std::string name;
  std::vector<std::int64_t> species;    ///< [N] atomic numbers
  std::vector<double> positions;        ///< [N*3] Angstrom
  std::array<double, 9> cell{};         ///< three vectors, Angstrom; zeros: not periodic

  bool periodic() const { return cell[0] != 0.0; }
};

/// A structure's rows and neighbours within a cutoff.
struct Neighbourhood {
  std::vector<std::int64_t> owner, first, neighbours;
  std::vector<double> positions;
  std::vector<std::uint8_t> owned;

  /// cutoff: Angstrom; 0: none.
  Neighbourhood(const TestStructure &structure, double cutoff);
  transip::Request request(const TestStructure &structure) const;
};

/// Atoms thrown into a cell, no two closer than 0.8 Angstrom, some far outside of it.
TestStructure random_structure(const std::string &name, int atoms, const std::array<double, 9> &cell,
                               const std::vector<int> &species, unsigned seed);

/// Number of atoms, nine numbers of the cell, then element and place of each atom. Throws std::runtime_error.
TestStructure read_structure(const std::string &path);
