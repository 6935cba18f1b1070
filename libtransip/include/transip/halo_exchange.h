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
  /// Fill halo atoms [G*width] from their ranks, and give these what they ask for: token t's features begin at t*stride.
  virtual void forward(const float *tokens, std::int64_t stride, float *halo, int width) = 0;
  virtual void forward(const double *tokens, std::int64_t stride, double *halo, int width) = 0;
  /// Add gradients of halo atoms [G*width] to their tokens', wherever they are.
  virtual void reverse(const float *halo, float *tokens, std::int64_t stride, int width) = 0;
  virtual void reverse(const double *halo, double *tokens, std::int64_t stride, int width) = 0;
};

}  // namespace transip
