// Features of atoms of other ranks. No standard containers here: the kernels' code sees it (cpu/network.h).
#pragma once

#include <cstdint>

namespace transip {

/// Hands features of atoms to the ranks that have images of them, and gradients back. For models that `exchanges_halo()`.
///
/// This rank's T tokens come first in the count of owners, then its halo atoms: atoms of other ranks, each once.
class HaloExchange {
 public:
  virtual ~HaloExchange() = default;
  /// Number of halo atoms, G.
  virtual std::int64_t halo_atoms() const = 0;
  /// Tokens that other ranks ask for, H of them, rank by rank; one may be there several times.
  virtual std::int64_t given_atoms() const = 0;
  virtual const int *given() const = 0;
  /// Fill halo atoms [G*width] from their ranks, and give these what they ask for: features of the given tokens [H*width].
  virtual void forward(const float *given, float *halo, int width) = 0;
  virtual void forward(const double *given, double *halo, int width) = 0;
  /// The way back: gradients of halo atoms [G*width] go to their ranks, and those of the given tokens come [H*width], which
  /// the caller adds to the tokens' own, in the order of `given`, so that sums are rounded alike every time.
  virtual void reverse(const float *halo, float *given, int width) = 0;
  virtual void reverse(const double *halo, double *given, int width) = 0;
  /// Whether these arrays may be on a CUDA device.
  virtual bool takes_device_memory() const = 0;
};

}  // namespace transip
