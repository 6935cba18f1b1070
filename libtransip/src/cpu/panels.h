// Weights of a linear layer as the products of dense.h read them. No functions here that a kernel's file could bring along.
#pragma once

#include "store.h"

namespace transip::native {

/// A matrix [inner, outer], laid out in panels two vectors wide, and a bias [outer]; outer is padded to whole vectors.
template <typename Real> struct Panels {
  Store store;
  Real *panels = nullptr, *bias = nullptr;
  int inner = 0, vectors = 0;
};

}  // namespace transip::native
