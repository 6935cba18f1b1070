// A network's weights as the kernels take them, in one piece of memory. Internal to libtransip.
#pragma once

#include "cpu/network.h"
#include "plan.h"

#include <cstddef>
#include <span>
#include <vector>

namespace transip::cuda {

/// A network with all that goes into its first tokens and comes after its last; the arrays belong to someone else.
struct NetworkWeights {
  native::Network network{};
  native::RadialPieces pieces{1.0, 0, nullptr};
  std::span<const double> species, charge, multiplicity;  ///< embeddings [kinds, dim]
  std::span<const double> reference;                      ///< [kinds] eV
  std::span<const double> charge_energies;                ///< [charges] eV; empty: charges have none
  std::span<const double> coordinates;                    ///< [dim, 3]; empty: the network does not see them
  double energy_scale = 1.0;                              ///< eV

  NetworkShape shape(bool single) const;
};

template <typename Real> class PackedWeights {
 public:
  explicit PackedWeights(const NetworkWeights &from);

  std::span<const std::byte> bytes() const { return bytes_; }

  /// Give a step what is known of the network, its weights as they lie after a copy of `bytes` to `start`.
  void give(Step<Real> &step, const std::byte *start) const;

 private:
  template <typename T> T *reserve(long long count);
  template <typename Element> const Real *matrix(int inner, int outer, int layers, Element element);
  template <typename Bias> const Real *biases(int outer, int layers, Bias bias);
  template <typename Element, typename Bias>
  void both_ways(Dense<Real> &forward, Dense<Real> &back, int inner, int outer, int layers, Element element, Bias bias);
  void pack_attention(const native::Network &network);
  void pack_feedforward(const native::Network &network);
  void pack_energy(const native::Network &network);
  void pack_tables(const NetworkWeights &from);

  std::vector<std::byte> bytes_;
  /// Pointers hold places in `bytes_`, counted from 1.
  DeviceWeights<Real> places_{};
  int layers_, pieces_;
  double cutoff_, inverse_spacing_, energy_shift_, energy_scale_;
};

}  // namespace transip::cuda
