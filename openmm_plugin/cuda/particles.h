// What the host gives to the kernels of particles.cuh, and gets from them.
#pragma once

// OpenMM chooses the standard of C++ that NVRTC compiles by: C++11 is enough.
namespace transip {
namespace openmm {

/// Three vectors of a periodic box in OpenMM's reduced form, one after another, Angstrom.
struct Box {
  double vectors[9];
};

}  // namespace openmm
}  // namespace transip
