// Atoms at one position: between them there is no direction, even where a network gives a number. Internal to libtransip.
#pragma once

#include <cstddef>
#include <span>

namespace transip {

/// Throw NotFinite, naming a row of positions that lies where another lies.
[[noreturn]] void throw_same_place(std::size_t row);

/// Throw NotFinite if two rows of positions, [I*3], are equal.
void check_apart(std::span<const double> positions);

}  // namespace transip
