// What the host gives to the kernels of particles.cuh, and gets from them.
#pragma once

namespace transip::openmm {

/// Three vectors of a periodic box in OpenMM's reduced form, one after another, Angstrom.
struct Box {
  double vectors[9];
};

/// Two rows in one number, of which the smallest is that of the smallest first row.
using Pair = unsigned long long;
constexpr Pair no_pair = ~0ull;

}  // namespace transip::openmm
