// An edge of a structure. Internal to libtransip.
#pragma once

#include <cstdint>

namespace transip {

/// From a token to a row of positions.
struct Edge {
  std::int64_t token, row;
};

}  // namespace transip
