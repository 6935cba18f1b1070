// The search for neighbours as the host sees it: cells and images for a box, memory, launches. Internal to libtransip.
#pragma once

#include "kernels/search.h"
#include "periodicity.h"
#include "plan.h"

#include <cstddef>
#include <vector>

namespace transip::cuda {

enum class SearchKernel {
#define TRANSIP_NAME(name) name,
  TRANSIP_SEARCH_KERNELS(TRANSIP_NAME)
#undef TRANSIP_NAME
};

/// Cells that a search for so many atoms has room for.
int most_cells(int atoms);

/// A box with cells and images for a reach, Angstrom, and so many atoms; atoms may move by half of `skin`, Angstrom.
///
/// Throws Error: a box without volume, or so small against the reach that an atom would see a million images.
SearchBox make_search_box(const Periodicity &box, double reach, double skin, int atoms);

/// Boxes in which images may lie, the own one among them.
int shifts_of(const SearchBox &box);

/// Point to the arrays that a search has to itself, one after another from `start`; returns the bytes that they take.
std::size_t place_search(Search &search, std::byte *start);

/// Launches that make all lists anew. local: by a cutoff; else every atom sees every other.
std::vector<Launch> plan_search(const Search &search, bool local);

/// Launches of a step that keeps the lists: places of the rows, and of a local model whether a token has moved too far.
std::vector<Launch> plan_move(const Search &search, bool local);

}  // namespace transip::cuda
