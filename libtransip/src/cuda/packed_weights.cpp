#include "packed_weights.h"

#include <cmath>
#include <cstdint>
#include <cstring>

namespace transip::cuda {

namespace {

/// What a linear layer behind a norm has for a bias: W shift + b.
double shifted_bias(const native::Linear &linear, const native::Norm &norm, int dim, std::int64_t o)
{
  double bias = linear.bias[o];
  for (int i = 0; i < dim; i++) bias += linear.weight[o * dim + i] * norm.shift[i];
  return bias;
}

/// The network's number of a feature that the kernels have at `place`: their pairs lie side by side.
int feature_at(int place, int width)
{
  const int head = place / width, within = place % width;
  return head * width + within % 2 * (width / 2) + within / 2;
}

/// Places in memory are counted from 1, so that none of them is null.
template <typename T> const T *place_of(std::size_t offset)
{
  return reinterpret_cast<const T *>(offset + 1);
}

template <typename T> void move_to(const T *&place, const std::byte *start)
{
  if (place) place = reinterpret_cast<const T *>(start + (reinterpret_cast<std::uintptr_t>(place) - 1));
}

}  // namespace

NetworkShape NetworkWeights::shape(bool single) const
{
  return {network.dim, network.layers, network.heads, network.feedforward, single, network.cutoff > 0.0,
          pieces.pieces > 0, network.rotary_values, !coordinates.empty()};
}

template <typename Real>
PackedWeights<Real>::PackedWeights(const NetworkWeights &from)
    : layers_(from.network.layers), pieces_(from.pieces.pieces), cutoff_(from.network.cutoff),
      inverse_spacing_(pieces_ ? 1.0 / from.pieces.spacing : 0.0), energy_shift_(from.network.energy_output.bias[0]),
      energy_scale_(from.energy_scale)
{
  pack_attention(from.network);
  pack_feedforward(from.network);
  pack_energy(from.network);
  pack_tables(from);
}

/// Room at the end of the bytes; what was given before may move.
template <typename Real> template <typename T> T *PackedWeights<Real>::reserve(long long count)
{
  const std::size_t start = bytes_.size();
  bytes_.resize(start + (static_cast<std::size_t>(count) * sizeof(T) + 255) / 256 * 256);
  return reinterpret_cast<T *>(bytes_.data() + start);
}

template <typename Real>
template <typename Element>
const Real *PackedWeights<Real>::matrix(int inner, int outer, int layers, Element element)
{
  const std::size_t offset = bytes_.size();
  const int size = matrix_size(inner, outer);
  Real *to = reserve<Real>(static_cast<long long>(layers) * size);
  for (int l = 0; l < layers; l++)
    for (int i = 0; i < inner; i++)
      for (int o = 0; o < outer; o++)
        to[static_cast<long long>(l) * size + place_in_matrix(inner, i, o)] = Real(element(l, i, o));
  return place_of<Real>(offset);
}

template <typename Real>
template <typename Bias>
const Real *PackedWeights<Real>::biases(int outer, int layers, Bias bias)
{
  const std::size_t offset = bytes_.size();
  const int wide = round_up(outer, warp_tile);
  Real *to = reserve<Real>(static_cast<long long>(layers) * wide);
  for (int l = 0; l < layers; l++)
    for (int o = 0; o < outer; o++) to[l * wide + o] = Real(bias(l, o));
  return place_of<Real>(offset);
}

template <typename Real>
template <typename Element, typename Bias>
void PackedWeights<Real>::both_ways(Dense<Real> &forward, Dense<Real> &back, int inner, int outer, int layers,
                                    Element element, Bias bias)
{
  forward.weight = matrix(inner, outer, layers, element);
  forward.bias = biases(outer, layers, bias);
  back.weight = matrix(outer, inner, layers, [&](int l, int o, int i) { return element(l, i, o); });
}

template <typename Real> void PackedWeights<Real>::pack_attention(const native::Network &network)
{
  const int dim = network.dim, width = dim / network.heads;
  const double query_scale = 1.0 / std::sqrt(static_cast<double>(width));
  const auto row = [=](int place) { return std::int64_t{place / dim * dim + feature_at(place % dim, width)}; };
  both_ways(
      places_.query_key_value, places_.query_key_value_back, dim, 3 * dim, layers_,
      [&](int l, int i, int place) {
        const native::Layer &layer = network.layer[l];
        return layer.query_key_value.weight[row(place) * dim + i] * layer.attention_norm.scale[i] *
               (place < dim ? query_scale : 1.0);
      },
      [&](int l, int place) {
        const native::Layer &layer = network.layer[l];
        return shifted_bias(layer.query_key_value, layer.attention_norm, dim, row(place)) *
               (place < dim ? query_scale : 1.0);
      });
  both_ways(
      places_.attention_output, places_.attention_output_back, dim, dim, layers_,
      [&](int l, int place, int o) {
        return network.layer[l].attention_output.weight[std::int64_t{o} * dim + feature_at(place, width)];
      },
      [&](int l, int o) { return network.layer[l].attention_output.bias[o]; });
}

template <typename Real> void PackedWeights<Real>::pack_feedforward(const native::Network &network)
{
  const int dim = network.dim, inner = network.feedforward, padded = padded_feedforward(inner);
  // Gate and value of a feature lie side by side; -1 for padding.
  const auto row = [=](int place) {
    return place / 2 < inner ? std::int64_t{place % 2} * inner + place / 2 : std::int64_t{-1};
  };
  both_ways(
      places_.gate_and_value, places_.gate_and_value_back, dim, 2 * padded, layers_,
      [&](int l, int i, int place) {
        const native::Layer &layer = network.layer[l];
        return row(place) < 0 ? 0.0
                              : layer.gate_and_value.weight[row(place) * dim + i] * layer.feedforward_norm.scale[i];
      },
      [&](int l, int place) {
        const native::Layer &layer = network.layer[l];
        return row(place) < 0 ? 0.0 : shifted_bias(layer.gate_and_value, layer.feedforward_norm, dim, row(place));
      });
  both_ways(
      places_.feedforward_output, places_.feedforward_output_back, padded, dim, layers_,
      [&](int l, int i, int o) {
        return i < inner ? network.layer[l].feedforward_output.weight[std::int64_t{o} * inner + i] : 0.0;
      },
      [&](int l, int o) { return network.layer[l].feedforward_output.bias[o]; });
}

template <typename Real> void PackedWeights<Real>::pack_energy(const native::Network &network)
{
  const int dim = network.dim;
  both_ways(
      places_.energy_hidden, places_.energy_hidden_back, dim, dim, 1,
      [&](int, int i, int o) {
        return network.energy_hidden.weight[std::int64_t{o} * dim + i] * network.energy_norm.scale[i];
      },
      [&](int, int o) { return shifted_bias(network.energy_hidden, network.energy_norm, dim, o); });
  const std::size_t offset = bytes_.size();
  Real *output = reserve<Real>(dim);
  for (int i = 0; i < dim; i++) output[i] = Real(network.energy_output.weight[i]);
  places_.energy_output = place_of<Real>(offset);
}

template <typename Real> void PackedWeights<Real>::pack_tables(const NetworkWeights &from)
{
  const native::Network &network = from.network;
  const long long pairs = network.dim / 2, frequencies = network.layers * pairs * 3;
  std::size_t offset = bytes_.size();
  // The network has [layers, heads, pairs of a head, 3], which is the order of the kernels too.
  double *exact = reserve<double>(frequencies);
  for (long long i = 0; i < frequencies; i++) exact[i] = network.frequencies[i];
  places_.exact_frequencies = place_of<double>(offset);
  offset = bytes_.size();
  Real *rounded = reserve<Real>(frequencies);
  for (long long i = 0; i < frequencies; i++) rounded[i] = Real(network.frequencies[i]);
  places_.frequencies = place_of<Real>(offset);

  offset = bytes_.size();
  const int heads = network.heads;
  Real *radial = reserve<Real>(6LL * pieces_ * network.layers * heads);
  for (int l = 0; l < network.layers; l++)
    for (int line = 0; line < 6 * pieces_; line++)
      for (int h = 0; h < heads; h++)
        radial[(6LL * pieces_ * l + line) * heads + h] =
            Real(from.pieces.coefficients[(static_cast<long long>(line) * network.layers + l) * heads + h]);
  places_.radial = place_of<Real>(offset);

  const auto copy = [this](std::span<const double> values) -> const double * {
    if (values.empty()) return nullptr;
    const std::size_t start = bytes_.size();
    std::memcpy(reserve<double>(static_cast<long long>(values.size())), values.data(), values.size_bytes());
    return place_of<double>(start);
  };
  places_.species = copy(from.species);
  places_.charge = copy(from.charge);
  places_.multiplicity = copy(from.multiplicity);
  places_.reference = copy(from.reference);
  places_.charge_energies = copy(from.charge_energies);
  places_.coordinates = copy(from.coordinates);
}

template <typename Real> void PackedWeights<Real>::give(Step<Real> &step, const std::byte *start) const
{
  step.layers = layers_;
  step.pieces = pieces_;
  step.cutoff = Real(cutoff_);
  step.inverse_cutoff = cutoff_ > 0.0 ? Real(1.0 / cutoff_) : Real(0);
  step.inverse_spacing = Real(inverse_spacing_);
  step.energy_shift = Real(energy_shift_);
  step.energy_scale = energy_scale_;
  step.weights = places_;
  DeviceWeights<Real> &w = step.weights;
  for (Dense<Real> *dense :
       {&w.query_key_value, &w.attention_output, &w.gate_and_value, &w.feedforward_output, &w.energy_hidden,
        &w.query_key_value_back, &w.attention_output_back, &w.gate_and_value_back, &w.feedforward_output_back,
        &w.energy_hidden_back}) {
    move_to(dense->weight, start);
    move_to(dense->bias, start);
  }
  for (const Real **array : {&w.frequencies, &w.radial, &w.energy_output}) move_to(*array, start);
  for (const double **array :
       {&w.exact_frequencies, &w.species, &w.charge, &w.multiplicity, &w.coordinates, &w.reference, &w.charge_energies})
    move_to(*array, start);
}

template class PackedWeights<float>;
template class PackedWeights<double>;

}  // namespace transip::cuda
