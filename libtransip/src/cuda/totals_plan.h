// What a whole structure's step comes to, as the host sees it: memory and launches. Internal to libtransip.
#pragma once

#include "kernels/totals.h"
#include "plan.h"

#include <cstddef>
#include <vector>

namespace transip::cuda {

enum class TotalsKernel {
#define TRANSIP_NAME(name) name,
  TRANSIP_TOTALS_KERNELS(TRANSIP_NAME)
#undef TRANSIP_NAME
};

/// Point to the arrays that the kernels have to themselves, from `start` on; returns the bytes that they take. structures:
/// how many there are that do not see one another.
std::size_t place_totals(Totals &totals, const Capacity &capacity, int structures, std::byte *start);

/// Launches behind a step. nearest: the nearest pair of atoms is wanted too.
std::vector<Launch> plan_totals(const Totals &totals, const Capacity &capacity, int structures, bool nearest);

}  // namespace transip::cuda
