#include "engine_weights.h"

#include <cmath>
#include <vector>

namespace transip::native {

namespace {

int round_up(int count, int to)
{
  return (count + to - 1) / to * to;
}

/// A linear layer [inner, outer] in float64, zero where it is padded.
class PlainLayer {
 public:
  PlainLayer(int inner, int outer)
      : inner_(inner), outer_(outer), weights_(std::size_t(inner) * std::size_t(outer)), bias_(std::size_t(outer))
  {
  }
  double &weight(int i, int o) { return weights_[std::size_t(i) * std::size_t(outer_) + std::size_t(o)]; }
  double &bias(int o) { return bias_[std::size_t(o)]; }

  /// The layer, and its transpose without a bias; size: numbers in a vector.
  template <typename Real> void lay_out(int size, TwoWays<Real> &to) const
  {
    lay_out(inner_, outer_, outer_, 1, bias_.data(), size, to.forward);
    lay_out(outer_, inner_, 1, outer_, nullptr, size, to.back);
  }

 private:
  template <typename Real>
  void lay_out(int inner, int outer, int inner_stride, int outer_stride, const double *bias, int size,
               Panels<Real> &to) const
  {
    to.inner = inner;
    to.vectors = round_up(outer, size) / size;
    const int wide = to.vectors * size;
    to.panels = static_cast<Real *>(to.store.reserve(std::int64_t(sizeof(Real)) * wide * (inner + 1)));
    to.bias = to.panels + std::int64_t(inner) * wide;
    for (int o = 0; o < wide; o++) to.bias[o] = bias && o < outer ? Real(bias[o]) : Real(0);
    Real *place = to.panels;
    for (int start = 0; start < wide; start += 2 * size) {
      const int width = wide - start < 2 * size ? size : 2 * size;
      for (int i = 0; i < inner; i++)
        for (int o = start; o < start + width; o++)
          *place++ = o < outer ? Real(weights_[std::size_t(i) * std::size_t(inner_stride) +
                                               std::size_t(o) * std::size_t(outer_stride)])
                               : Real(0);
    }
  }

  int inner_, outer_;
  std::vector<double> weights_, bias_;
};

/// Output o of a linear layer behind a norm: what the norm scales goes into the weights, what it shifts into the bias.
void fold(const Linear &linear, const Norm &norm, int dim, std::int64_t o, double scale, PlainLayer &to, int place)
{
  double bias = linear.bias[o];
  for (int i = 0; i < dim; i++) {
    bias += linear.weight[o * dim + i] * norm.shift[i];
    to.weight(i, place) = linear.weight[o * dim + i] * norm.scale[i] * scale;
  }
  to.bias(place) = bias * scale;
}

}  // namespace

Shape::Shape(const Network &network, int lanes, int size)
    : dim(network.dim), wide(round_up(network.dim, size)), layers(network.layers), heads(network.heads), lanes(lanes),
      feedforward(round_up(network.feedforward, size)), half(network.dim / network.heads / 2 * lanes),
      features(2 * half), vectors(features / size), bias_stride(round_up(layers * lanes, size)),
      rotary_values(network.rotary_values), cutoff(network.cutoff)
{
}

bool Shape::fits(const Network &network, int lanes, int size)
{
  return lanes >= network.heads && network.dim / network.heads / 2 * lanes % size == 0;
}

template <typename Real>
EngineWeights<Real>::EngineWeights(const Network &network, const RadialPieces &pieces, int lanes, int size)
    : shape(network, lanes, size), layer(new LayerWeights<Real>[static_cast<std::size_t>(network.layers)]), size_(size)
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

template <typename Real> EngineWeights<Real>::~EngineWeights()
{
  delete[] layer;
}

template <typename Real> std::int64_t EngineWeights<Real>::bytes_of_layer() const
{
  return std::int64_t(sizeof(Real)) * shape.wide * (4 * shape.features + 3 * shape.feedforward);
}

template <typename Real> void EngineWeights<Real>::place()
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

template <typename Real> void EngineWeights<Real>::fill_attention(const Layer &from, LayerWeights<Real> &to)
{
  const int dim = shape.dim, features = shape.features, width = dim / shape.heads;
  // 1 / sqrt(width) goes into the queries.
  const double query_scale = 1.0 / std::sqrt(static_cast<double>(width));
  PlainLayer query_key_value(dim, 3 * features), output(features, dim);
  for (int o = 0; o < dim; o++) output.bias(o) = from.attention_output.bias[o];
  for (int place = 0; place < features; place++) {
    const int h = place % shape.lanes;
    if (h >= shape.heads) continue;
    // The network's number of the feature that the kernel has at this place.
    const int feature = h * width + place / shape.lanes;
    for (int part = 0; part < 3; part++)
      fold(from.query_key_value, from.attention_norm, dim, part * dim + feature, part == 0 ? query_scale : 1.0,
           query_key_value, part * features + place);
    for (int o = 0; o < dim; o++)
      output.weight(place, o) = from.attention_output.weight[std::int64_t(o) * dim + feature];
  }
  query_key_value.lay_out(size_, to.query_key_value);
  output.lay_out(size_, to.attention_output);
}

template <typename Real>
void EngineWeights<Real>::fill_feedforward(const Layer &from, int inner, LayerWeights<Real> &to)
{
  const int dim = shape.dim;
  // Gates, padded to whole vectors, and behind them values.
  PlainLayer gate_and_value(dim, 2 * shape.feedforward), output(shape.feedforward, dim);
  for (int o = 0; o < dim; o++) output.bias(o) = from.feedforward_output.bias[o];
  for (int place = 0; place < inner; place++) {
    for (int part = 0; part < 2; part++)
      fold(from.gate_and_value, from.feedforward_norm, dim, part * inner + place, 1.0, gate_and_value,
           part * shape.feedforward + place);
    for (int o = 0; o < dim; o++)
      output.weight(place, o) = from.feedforward_output.weight[std::int64_t(o) * inner + place];
  }
  gate_and_value.lay_out(size_, to.gate_and_value);
  output.lay_out(size_, to.feedforward_output);
}

template <typename Real> void EngineWeights<Real>::fill_frequencies(const Network &network, int l)
{
  const int lanes = shape.lanes, pairs = shape.half / lanes;
  for (int x = 0; x < 3; x++)
    for (int place = 0; place < shape.half; place++) {
      const int h = place % lanes, p = place / lanes;
      const double frequency =
          h < shape.heads ? network.frequencies[((std::int64_t(l) * shape.heads + h) * pairs + p) * 3 + x] : 0.0;
      layer[l].exact_frequencies[x * shape.half + place] = frequency;
      layer[l].frequencies[x * shape.half + place] = Real(frequency);
    }
}

template <typename Real> void EngineWeights<Real>::fill_energy(const Network &network)
{
  PlainLayer hidden(shape.dim, shape.dim);
  for (int o = 0; o < shape.dim; o++) fold(network.energy_hidden, network.energy_norm, shape.dim, o, 1.0, hidden, o);
  hidden.lay_out(size_, energy_hidden);
  for (int i = 0; i < shape.wide; i++)
    energy_output[i] = i < shape.dim ? Real(network.energy_output.weight[i]) : Real(0);
  energy_shift = Real(network.energy_output.bias[0]);
}

template <typename Real> void EngineWeights<Real>::fill_bias(const RadialPieces &pieces)
{
  const int stride = shape.bias_stride, of_layers = shape.layers * shape.heads;
  for (std::int64_t line = 0; line < std::int64_t(bias.pieces) * 6; line++) {
    Real *to = bias.coefficients + line * stride;
    for (int place = 0; place < stride; place++) to[place] = Real(0);
    for (int l = 0; l < shape.layers; l++)
      for (int h = 0; h < shape.heads; h++)
        to[l * shape.lanes + h] = Real(pieces.coefficients[line * of_layers + l * shape.heads + h]);
  }
}

template class EngineWeights<float>;
template class EngineWeights<double>;

}  // namespace transip::native
