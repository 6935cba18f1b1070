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

  /// Tokens that other ranks ask for, H of them, in the order of their features below; one may be there several times.
  virtual std::int64_t given_atoms() const = 0;
  virtual const int *given() const = 0;
  /// As `forward`, from features of the given tokens alone [H*width].
  virtual void bring(const float *given, float *halo, int width) = 0;
  virtual void bring(const double *given, double *halo, int width) = 0;
  /// As `reverse`, but the gradients come to [H*width] and are not yet added to the tokens'.
  virtual void bring_back(const float *halo, float *given, int width) = 0;
  virtual void bring_back(const double *halo, double *given, int width) = 0;
  /// Whether the arrays of `bring` and `bring_back` may be on a CUDA device.
  virtual bool takes_device_memory() const = 0;
};

}  // namespace transip
