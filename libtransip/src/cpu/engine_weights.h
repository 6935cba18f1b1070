// A network's weights as the kernels take them: norms folded into the linear layers, heads side by side.
#pragma once

#include "dense.h"
#include "shape.h"
#include "store.h"

namespace transip::native {
namespace {

/// A linear layer and its transpose, which takes gradients back.
template <typename Real> struct TwoWays {
  Matrix<Real> forward, back;

  template <typename Element, typename Bias> void fill(int inner, int outer, Element element, Bias bias)
  {
    forward.fill(inner, outer, element, bias);
    back.fill(outer, inner, [&](int o, int i) { return element(i, o); }, [](int) { return 0.0; });
  }
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

template <typename Real, int lanes> class EngineWeights {
 public:
  EngineWeights(const Network &network, const RadialPieces &pieces);
  ~EngineWeights() { delete[] layer; }
  EngineWeights(const EngineWeights &) = delete;
  EngineWeights &operator=(const EngineWeights &) = delete;

  Shape<Real, lanes> shape;
  LayerWeights<Real> *layer;  ///< [layers]
  TwoWays<Real> energy_hidden;
  Real *energy_output;  ///< [wide]
  Real energy_shift;
  BiasTable<Real> bias;
  /// Bytes that a token's pass through the linear layers of one block reads.
  std::int64_t bytes_of_layer() const
  {
    return std::int64_t(sizeof(Real)) * shape.wide * (4 * shape.features + 3 * shape.feedforward);
  }

 private:
  void place();
  void fill_attention(const Layer &from, LayerWeights<Real> &to);
  void fill_feedforward(const Layer &from, int inner, LayerWeights<Real> &to);
  void fill_energy(const Network &network);
  void fill_bias(const RadialPieces &pieces);
  void fill_frequencies(const Network &network, int l);

  /// The network's number of a feature that the kernel has at `place`, -1 for padding.
  int source(int place) const
  {
    const int h = place % lanes, w = place / lanes;
    return h < shape.heads ? h * (shape.dim / shape.heads) + w : -1;
  }
  /// What a linear layer behind a norm has for a bias: W shift + b.
  double shifted_bias(const Linear &linear, const Norm &norm, std::int64_t o) const
  {
    double bias = linear.bias[o];
    for (int i = 0; i < shape.dim; i++) bias += linear.weight[o * shape.dim + i] * norm.shift[i];
    return bias;
  }

  Store constant_;
};

template <typename Real, int lanes>
EngineWeights<Real, lanes>::EngineWeights(const Network &network, const RadialPieces &pieces)
    : shape(network), layer(new LayerWeights<Real>[static_cast<std::size_t>(network.layers)])
{
  bias.pieces = pieces.pieces;
  bias.inverse_spacing = pieces.pieces ? 1.0 / pieces.spacing : 0.0;
  place();
  for (int l = 0; l < shape.layers; l++) {
    fill_attention(network.layer[l], layer[l]);
    fill_feedforward(network.layer[l], network.feedforward, layer[l]);
    fill_frequencies(network, l);
  }
  fill_energy(network);
  fill_bias(pieces);
}

template <typename Real, int lanes> void EngineWeights<Real, lanes>::place()
{
  place_in(constant_, [this](Parts &parts) {
    parts.place(energy_output, shape.wide);
    parts.place(bias.coefficients, std::int64_t(bias.pieces) * 6 * shape.bias_stride);
    for (int l = 0; l < shape.layers; l++) {
      parts.place(layer[l].frequencies, 3 * shape.half);
      parts.place(layer[l].exact_frequencies, 3 * shape.half);
    }
  });
}

template <typename Real, int lanes>
void EngineWeights<Real, lanes>::fill_attention(const Layer &from, LayerWeights<Real> &to)
{
  const std::int64_t dim = shape.dim;
  const int features = shape.features;
  // A norm's scale and shift go into the linear layer behind it, and 1 / sqrt(width) into the queries.
  const double query_scale = 1.0 / square_root(static_cast<double>(shape.dim / shape.heads));
  const auto row = [&](int place) -> std::int64_t {
    const int found = source(place % features);
    return found < 0 ? -1 : place / features * dim + found;
  };
  to.query_key_value.fill(
      shape.dim, 3 * features,
      [&](int i, int place) {
        const std::int64_t o = row(place);
        if (o < 0) return 0.0;
        return from.query_key_value.weight[o * dim + i] * from.attention_norm.scale[i] * (o < dim ? query_scale : 1.0);
      },
      [&](int place) {
        const std::int64_t o = row(place);
        if (o < 0) return 0.0;
        return shifted_bias(from.query_key_value, from.attention_norm, o) * (o < dim ? query_scale : 1.0);
      });
  to.attention_output.fill(
      features, shape.dim,
      [&](int place, int o) {
        const int i = source(place);
        return i < 0 ? 0.0 : from.attention_output.weight[o * dim + i];
      },
      [&](int o) { return from.attention_output.bias[o]; });
}

template <typename Real, int lanes>
void EngineWeights<Real, lanes>::fill_feedforward(const Layer &from, int inner, LayerWeights<Real> &to)
{
  const std::int64_t dim = shape.dim;
  // Gates, padded to whole vectors, and behind them values.
  const auto row = [&](int place) -> std::int64_t {
    const int o = place % shape.feedforward;
    return o < inner ? place / shape.feedforward * inner + o : -1;
  };
  to.gate_and_value.fill(
      shape.dim, 2 * shape.feedforward,
      [&](int i, int place) {
        const std::int64_t o = row(place);
        return o < 0 ? 0.0 : from.gate_and_value.weight[o * dim + i] * from.feedforward_norm.scale[i];
      },
      [&](int place) {
        const std::int64_t o = row(place);
        return o < 0 ? 0.0 : shifted_bias(from.gate_and_value, from.feedforward_norm, o);
      });
  to.feedforward_output.fill(
      shape.feedforward, shape.dim,
      [&](int i, int o) { return i < inner ? from.feedforward_output.weight[std::int64_t(o) * inner + i] : 0.0; },
      [&](int o) { return from.feedforward_output.bias[o]; });
}

template <typename Real, int lanes> void EngineWeights<Real, lanes>::fill_frequencies(const Network &network, int l)
{
  const int pairs = shape.half / lanes;
  for (int x = 0; x < 3; x++)
    for (int place = 0; place < shape.half; place++) {
      const int h = place % lanes, p = place / lanes;
      const double frequency =
          h < shape.heads ? network.frequencies[((std::int64_t(l) * shape.heads + h) * pairs + p) * 3 + x] : 0.0;
      layer[l].exact_frequencies[x * shape.half + place] = frequency;
      layer[l].frequencies[x * shape.half + place] = Real(frequency);
    }
}

template <typename Real, int lanes> void EngineWeights<Real, lanes>::fill_energy(const Network &network)
{
  const std::int64_t dim = shape.dim;
  energy_hidden.fill(
      shape.dim, shape.dim,
      [&](int i, int o) { return network.energy_hidden.weight[o * dim + i] * network.energy_norm.scale[i]; },
      [&](int o) { return shifted_bias(network.energy_hidden, network.energy_norm, o); });
  for (int i = 0; i < shape.wide; i++)
    energy_output[i] = i < shape.dim ? Real(network.energy_output.weight[i]) : Real(0);
  energy_shift = Real(network.energy_output.bias[0]);
}

template <typename Real, int lanes> void EngineWeights<Real, lanes>::fill_bias(const RadialPieces &pieces)
{
  for (int piece = 0; piece < bias.pieces; piece++)
    for (int power = 0; power < 6; power++)
      for (int place = 0; place < shape.bias_stride; place++) {
        const int l = place / lanes, h = place % lanes;
        const std::int64_t line = std::int64_t(piece) * 6 + power;
        const std::int64_t from = (line * shape.layers + l) * shape.heads + h;
        bias.coefficients[line * shape.bias_stride + place] =
            l < shape.layers && h < shape.heads ? Real(pieces.coefficients[from]) : Real(0);
      }
}

}  // namespace
}  // namespace transip::native
