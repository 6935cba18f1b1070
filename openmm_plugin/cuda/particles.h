// What the host gives to the kernels of particles.cuh, and gets from them.
#pragma once

namespace transip::openmm {

/// Three vectors of a periodic box in OpenMM's reduced form, one after another, Angstrom.
struct Box {
  double vectors[9];
};

}  // namespace transip::openmm
