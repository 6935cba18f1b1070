// The search for neighbours as the host sees it: cells and images for a box, memory, launches. Internal to libtransip.
#pragma once

#include "kernels/search.h"
#include "plan.h"

#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace transip::cuda {

enum class SearchKernel {
#define TRANSIP_NAME(name) name,
  TRANSIP_SEARCH_KERNELS(TRANSIP_NAME)
#undef TRANSIP_NAME
};

struct SearchLaunch {
  SearchKernel kernel;
  int part;
  unsigned blocks, threads;
};

/// A search in a box, without its arrays. cutoff, skin: Angstrom. box: three vectors, Angstrom; not looked at unless
/// periodic, and then `atoms`, [N*3] Angstrom, tell what lies around them.
///
/// Throws Error: a box without volume, or so small against the cutoff that an atom would see a million images.
Search make_search(double cutoff, double skin, const std::array<double, 9> &box, bool periodic,
                   std::span<const double> atoms);

/// Point to the arrays that a search has to itself, one after another from `start`; returns the bytes that they take.
std::size_t place_search(Search &search, std::byte *start);

/// Launches that make all lists anew.
std::vector<SearchLaunch> plan_search(const Search &search);

/// Launches of a step that keeps the lists: places of the rows, and whether an atom has moved too far.
std::vector<SearchLaunch> plan_move(const Search &search);

}  // namespace transip::cuda
