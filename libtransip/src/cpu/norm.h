// Layer norm without scale and shift, which the linear layer behind it has: n = (x - mean(x)) d, 1 / d^2 = var(x) + 1e-5.
#pragma once

#include "lanes.h"

namespace transip::native {
namespace {

constexpr double layer_norm_epsilon = 1.0e-5;

template <typename Real> class LayerNorm {
  using L = Lanes<Real>;
  using V = typename L::V;
  static constexpr int size = L::size;

 public:
  LayerNorm(int dim, int wide) : dim_(dim), wide_(wide)
  {
    for (int i = 0; i < size; i++) last_[i] = wide - size + i < dim ? Real(1) : Real(0);
  }

  /// n of one token; returns d.
  Real forward(const Real *x, Real *n) const
  {
    V total{};
    for (int i = 0; i < wide_; i += size) total += L::load(x + i);
    const Real mean = L::sum(total) / Real(dim_);
    V squares{};
    for (int i = 0; i < wide_; i += size) {
      V centred = L::load(x + i) - mean;
      if (i + size == wide_) centred *= last_;
      squares += centred * centred;
      L::store(n + i, centred);
    }
    const Real d = Real(1.0 / square_root(double(L::sum(squares)) / dim_ + layer_norm_epsilon));
    for (int i = 0; i < wide_; i += size) L::store(n + i, L::load(n + i) * d);
    return d;
  }

  /// dE/dx += d (g - mean(g) - n mean(g n)), g = dE/dn.
  void back(const Real *g, const Real *n, Real d, Real *to) const
  {
    V total{}, along{};
    for (int i = 0; i < wide_; i += size) {
      const V here = L::load(g + i);
      total += here;
      along += here * L::load(n + i);
    }
    const Real mean = L::sum(total) / Real(dim_), share = L::sum(along) / Real(dim_);
    for (int i = 0; i < wide_; i += size) {
      V change = (L::load(g + i) - mean - L::load(n + i) * share) * d;
      if (i + size == wide_) change *= last_;
      L::store(to + i, L::load(to + i) + change);
    }
  }

 private:
  int dim_, wide_;
  V last_;  // zero where the last vector is padded
};

}  // namespace
}  // namespace transip::native
