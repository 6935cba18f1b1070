// Positions from the arrays of an OpenMM Context on the CUDA platform, and forces back into them.
//
// OpenMM keeps particles in slots, in an order that it changes from time to time: atom_of_slot [slots] has the index in
// the System of each. row_of_atom [slots] has the number of a particle among those of the force, by its index in the
// System, or -1. Loops take strides of the whole grid, because OpenMM limits the number of blocks.
//
// Compiled by NVRTC inside OpenMM and, in tests, by g++ under an emulator; so nothing but particles.h is included.
#pragma once

#include "particles.h"

namespace transip {
namespace openmm {

__device__ __forceinline__ int first_index()
{
  return blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ int stride()
{
  return blockDim.x * gridDim.x;
}

/// Write positions [particles of the force, 3], Angstrom, in float64.
///
/// posq: [slots] nm and charge, as float4 or double4. correction: [slots] what float4 leaves of mixed precision, nm; null
/// with the other precisions. scale: Angstrom in a nm.
template <typename Real4, typename Float4>
__device__ __forceinline__ void take_positions(const Real4 *posq, const Float4 *correction, const int *atom_of_slot,
                                               const int *row_of_atom, int slots, double scale, double *positions)
{
  for (int slot = first_index(); slot < slots; slot += stride()) {
    const int row = row_of_atom[atom_of_slot[slot]];
    if (row < 0) continue;
    const Real4 at = posq[slot];
    double place[3] = {double(at.x), double(at.y), double(at.z)};
    if (correction) {
      const Float4 rest = correction[slot];
      place[0] += double(rest.x);
      place[1] += double(rest.y);
      place[2] += double(rest.z);
    }
    for (int x = 0; x < 3; x++) positions[3 * static_cast<long long>(row) + x] = scale * place[x];
  }
}

/// Add forces to OpenMM's buffer [3, padded]: 64-bit fixed point, kJ/mol/nm times 2^32, by slots.
///
/// forces: [particles of the force, 3], eV/Angstrom. scale: kJ/mol/nm in an eV/Angstrom. The additions are atomic, because
/// OpenMM's reciprocal space may add forces from another stream; they are of integers, so their order has no effect.
__device__ __forceinline__ void add_forces(const double *forces, const int *atom_of_slot, const int *row_of_atom,
                                           int slots, int padded, double scale, unsigned long long *buffer)
{
  for (int slot = first_index(); slot < slots; slot += stride()) {
    const int row = row_of_atom[atom_of_slot[slot]];
    if (row < 0) continue;
    for (int x = 0; x < 3; x++) {
      const double fixed = rint(forces[3 * static_cast<long long>(row) + x] * scale * 4294967296.0);
      atomicAdd(buffer + slot + x * static_cast<long long>(padded),
                static_cast<unsigned long long>(static_cast<long long>(fixed)));
    }
  }
}

/// Whether two particles of an isolated molecule are bonded through the box but not where they are: the box cuts the
/// molecule in two.
///
/// positions: [rows, 3] Angstrom. bonded: Angstrom, two atoms this close belong to one molecule. cut: 0 before the launch,
/// then 1 if there are such particles.
__device__ __forceinline__ void find_cut(const double *positions, int rows, const Box &box, double bonded, int *cut)
{
  for (int first = first_index(); first < rows; first += stride())
    for (int second = 0; second < first; second++) {
      double image[3], here = 0.0, nearest = 0.0;
      for (int x = 0; x < 3; x++) {
        image[x] = positions[3 * first + x] - positions[3 * second + x];
        here += image[x] * image[x];
      }
      for (int vector = 2; vector >= 0; vector--) {
        const double times = rint(image[vector] / box.vectors[3 * vector + vector]);
        for (int x = 0; x < 3; x++) image[x] -= times * box.vectors[3 * vector + x];
      }
      for (int x = 0; x < 3; x++) nearest += image[x] * image[x];
      if (nearest < bonded * bonded && sqrt(nearest) < sqrt(here) - 1e-6) {
        atomicExch(cut, 1);
        break;
      }
    }
}

}  // namespace openmm
}  // namespace transip
