// A network's weights as the kernels take them: norms folded into the linear layers, heads side by side. Laid out by code
// for any machine, so that it is compiled once and not for each instruction set.
#pragma once

#include "panels.h"
#include "shape.h"
#include "store.h"

namespace transip::native {

/// A linear layer and its transpose, which takes gradients back.
template <typename Real> struct TwoWays {
  Panels<Real> forward, back;
};

template <typename Real> struct LayerWeights {
  TwoWays<Real> query_key_value;     ///< [wide, 3 features]
  TwoWays<Real> attention_output;    ///< [features, wide]
  TwoWays<Real> gate_and_value;      ///< [wide, 2 feedforward]
  TwoWays<Real> feedforward_output;  ///< [feedforward, wide]
  Real *frequencies;                 ///< [3, half], rad/Angstrom
  double *exact_frequencies;         ///< the same in float64
};

/// Radial biases as pieces of the fifth degree, [pieces, 6, bias_stride].
template <typename Real> struct BiasTable {
  int pieces = 0;
  double inverse_spacing = 0.0;
  Real *coefficients = nullptr;
};

template <typename Real> class EngineWeights {
 public:
  /// lanes: heads with padded ones; size: numbers in a vector. Throws std::bad_alloc.
  EngineWeights(const Network &network, const RadialPieces &pieces, int lanes, int size);
  ~EngineWeights();
  EngineWeights(const EngineWeights &) = delete;
  EngineWeights &operator=(const EngineWeights &) = delete;

  /// Bytes that a token's pass through the linear layers of one block reads.
  std::int64_t bytes_of_layer() const;

  Shape shape;
  LayerWeights<Real> *layer;  ///< [layers]
  TwoWays<Real> energy_hidden;
  Real *energy_output;  ///< [wide]
  Real energy_shift;
  BiasTable<Real> bias;

 private:
  void place();
  void fill_attention(const Layer &from, LayerWeights<Real> &to);
  void fill_feedforward(const Layer &from, int inner, LayerWeights<Real> &to);
  void fill_energy(const Network &network);
  void fill_bias(const RadialPieces &pieces);
  void fill_frequencies(const Network &network, int l);

  int size_;
  Store constant_;
};

extern template class EngineWeights<float>;
extern template class EngineWeights<double>;

}  // namespace transip::native
