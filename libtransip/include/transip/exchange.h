// Features of atoms of other ranks. No standard containers here: the kernels' code sees it (cpu/network.h).
#pragma once

#include <cstdint>

namespace transip {

/// Hands features of atoms to the ranks that have images of them, and gradients back. For models that `exchanges()`.
///
/// This rank's T tokens come first in the count of owners, then its guests: atoms of other ranks, each once.
class Exchange {
 public:
  virtual ~Exchange() = default;
  /// Number of guests, G.
  virtual std::int64_t guests() const = 0;
  /// Fill guests [G*width] from their ranks, and give these what they ask for: token t's features begin at t*stride.
  virtual void forward(const float *tokens, std::int64_t stride, float *guests, int width) = 0;
  virtual void forward(const double *tokens, std::int64_t stride, double *guests, int width) = 0;
  /// Add gradients of guests [G*width] to their tokens', wherever they are.
  virtual void reverse(const float *guests, float *tokens, std::int64_t stride, int width) = 0;
  virtual void reverse(const double *guests, double *tokens, std::int64_t stride, int width) = 0;
};

}  // namespace transip
