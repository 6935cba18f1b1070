// Where the arrays of a step lie in memory. Internal to libtransip.
#pragma once

#include "plan.h"

#include <cstddef>

namespace transip::cuda {

/// Hands out one piece of memory after another, each at a multiple of 256 bytes from the start.
class Parts {
 public:
  /// start: null if nothing but the bytes is of use.
  explicit Parts(std::byte *start) : start_(start) {}

  template <typename T> void place(T *&array, long long count)
  {
    array = start_ ? reinterpret_cast<T *>(start_ + used_) : nullptr;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 255) / 256 * 256;
  }
  std::size_t used() const { return used_; }

 private:
  std::byte *start_;
  std::size_t used_ = 0;
};

/// Point to arrays that lie one after another from `start`, each at a multiple of 256 bytes, and return the bytes that
/// they take. With null for `start` nothing but the bytes is of use.
std::size_t place_inputs(Inputs &inputs, const Capacity &capacity, std::byte *start);
std::size_t place_results(Results &results, const Capacity &capacity, std::byte *start);
/// The arrays that kernels use among themselves, and virials of atoms; without forces not those of the backward. Sets the
/// capacity in the step.
template <typename Real>
std::size_t place_work(Step<Real> &step, const NetworkShape &shape, const Capacity &capacity, bool forces,
                       std::byte *start);

}  // namespace transip::cuda
