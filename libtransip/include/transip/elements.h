// Chemical symbols and atomic numbers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace transip {

/// Symbol of an atomic number, "Z=n" outside 1..118.
std::string symbol(int atomic_number);

/// Atomic number of a symbol ("C", "Cl"), 0 if there is no such element.
int atomic_number(std::string_view symbol);

/// Symbols of several atomic numbers, separated by spaces, for messages.
std::string symbols(const std::vector<int> &atomic_numbers);

}  // namespace transip
