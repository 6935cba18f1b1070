#include "network_reader.h"

namespace transip {

namespace {

/// Centre of the first radial basis function and, unless the architecture states otherwise, of the last of an all-to-all
/// model, Angstrom; the twins of FIRST_RADIAL_CENTRE and DEFAULT_RADIAL_RANGE in python/transip_md/model/config.py.
constexpr double first_radial_centre = 0.5, default_radial_range = 8.0;

}  // namespace

native::Network NetworkReader::network()
{
  const std::int64_t dim = shape_.dim, pairs = dim / shape_.heads / 2;
  native::Network network{};
  network.dim = shape_.dim;
  network.layers = shape_.layers;
  network.heads = shape_.heads;
  network.feedforward = shape_.feedforward;
  network.rotary_values = shape_.rotary_values;
  network.cutoff = cutoff_;
  network.frequencies = weights_.get("model.rotary.frequencies", {shape_.layers, shape_.heads, pairs, 3}).data();
  for (int l = 0; l < shape_.layers; l++) {
    const std::string name = "model.blocks." + std::to_string(l) + ".";
    layers_.push_back({norm(name + "attention_norm"), linear(name + "attention.query_key_value", 3 * dim, dim),
                       linear(name + "attention.output", dim, dim), norm(name + "feedforward_norm"),
                       linear(name + "feedforward.gate_and_value", 2 * std::int64_t{shape_.feedforward}, dim),
                       linear(name + "feedforward.output", dim, shape_.feedforward)});
  }
  network.layer = layers_.data();
  network.energy_norm = norm("model.energy_norm");
  network.energy_hidden = linear("model.energy_head.0", dim, dim);
  network.energy_output = linear("model.energy_head.2", 1, dim);
  return network;
}

std::optional<native::RadialTable> NetworkReader::radial_table(bool single) const
{
  if (!shape_.radial_bias) return std::nullopt;
  const std::int64_t functions = shape_.radial_functions, hidden = shape_.radial_hidden,
                     biases = std::int64_t{shape_.layers} * shape_.heads;
  const double last = shape_.radial_range.value_or(cutoff_ > 0.0 ? cutoff_ : default_radial_range);
  const double spacing = (last - first_radial_centre) / static_cast<double>(functions - 1);
  return native::RadialTable(native::RadialNetwork{weights_.get("model.radial.centres", {functions}), 1.0 / spacing,
                                                   weights_.get("model.radial.mlp.0.weight", {hidden, functions}),
                                                   weights_.get("model.radial.mlp.0.bias", {hidden}),
                                                   weights_.get("model.radial.mlp.2.weight", {biases, hidden}),
                                                   weights_.get("model.radial.mlp.2.bias", {biases})},
                             cutoff_, single);
}

native::Linear NetworkReader::linear(const std::string &name, std::int64_t out, std::int64_t in) const
{
  return {weights_.get(name + ".weight", {out, in}).data(), weights_.get(name + ".bias", {out}).data()};
}

native::Norm NetworkReader::norm(const std::string &name) const
{
  return {weights_.get(name + ".weight", {shape_.dim}).data(), weights_.get(name + ".bias", {shape_.dim}).data()};
}

}  // namespace transip
