#include "networks.h"

#include "modelfile/archive.h"
#include "transip/error.h"

#include <cmath>
#include <random>

transip::Architecture architecture(int dim, int heads, int feedforward, bool radial, bool rotary_values)
{
  transip::Architecture shape;
  shape.dim = dim;
  shape.layers = 2;
  shape.heads = heads;
  shape.feedforward = feedforward;
  shape.radial_bias = radial;
  shape.rotary_values = rotary_values;
  shape.radial_functions = 12;
  shape.radial_hidden = 8;
  return shape;
}

TestNetwork random_network(transip::Architecture shape, double cutoff, const std::string &dtype)
{
  TestNetwork made;
  transip::Metadata &metadata = made.metadata;
  metadata.species = {1, 8};
  if (cutoff > 0.0) metadata.cutoff = cutoff;
  metadata.dtype = dtype;
  metadata.conservative = true;
  metadata.charge = {-1, 1};
  metadata.multiplicity = {1, 3};
  metadata.architecture = shape;

  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  const auto add = [&](const std::string &name, std::vector<std::int64_t> sizes, double width, double mean = 0.0) {
    std::size_t count = 1;
    for (const std::int64_t size : sizes) count *= static_cast<std::size_t>(size);
    std::vector<double> values(count);
    for (double &value : values) value = static_cast<float>(mean + width * normal(random));
    made.weights.add(name, std::move(sizes), std::move(values));
  };
  const std::int64_t dim = shape.dim, pairs = dim / shape.heads / 2, inner = shape.feedforward;
  const auto linear = [&](const std::string &name, std::int64_t out, std::int64_t in) {
    add(name + ".weight", {out, in}, 1.0 / std::sqrt(static_cast<double>(in)));
    add(name + ".bias", {out}, 0.1);
  };
  const auto norm = [&](const std::string &name) {
    add(name + ".weight", {dim}, 0.1, 1.0);
    add(name + ".bias", {dim}, 0.1);
  };
  add("model.species_embedding.weight", {2, dim}, 1.0);
  add("model.charge_embedding.weight", {3, dim}, 0.3);
  add("model.multiplicity_embedding.weight", {3, dim}, 0.3);
  add("model.rotary.frequencies", {shape.layers, shape.heads, pairs, 3}, 1.0);
  if (shape.coordinates) add("model.coordinates.weight", {dim, 3}, 0.3);
  if (shape.radial_bias) {
    std::vector<double> centres(static_cast<std::size_t>(shape.radial_functions));
    const double last = cutoff > 0.0 ? cutoff : 8.0;
    for (std::size_t i = 0; i < centres.size(); i++)
      centres[i] = 0.5 + (last - 0.5) * static_cast<double>(i) / static_cast<double>(centres.size() - 1);
    made.weights.add("model.radial.centres", {shape.radial_functions}, centres);
    linear("model.radial.mlp.0", shape.radial_hidden, shape.radial_functions);
    linear("model.radial.mlp.2", std::int64_t{shape.layers} * shape.heads, shape.radial_hidden);
  }
  for (int l = 0; l < shape.layers; l++) {
    const std::string name = "model.blocks." + std::to_string(l) + ".";
    norm(name + "attention_norm");
    linear(name + "attention.query_key_value", 3 * dim, dim);
    linear(name + "attention.output", dim, dim);
    norm(name + "feedforward_norm");
    linear(name + "feedforward.gate_and_value", 2 * inner, dim);
    linear(name + "feedforward.output", dim, inner);
  }
  norm("model.energy_norm");
  linear("model.energy_head.0", dim, dim);
  linear("model.energy_head.2", 1, dim);
  add("model.energy_scale", {}, 0.0, 3.0);
  add("model.reference_energies", {2}, 1.0, -5.0);
  if (shape.short_range) {
    // Of hydrogen and oxygen; radii that are wide enough for atoms thrown into a box.
    made.weights.add("model.short_range.nuclear_charges", {2}, {1.0, 8.0});
    made.weights.add("model.short_range.screening_powers", {2}, {1.0, std::pow(8.0, 0.23)});
    made.weights.add("model.short_range.covalent_radii", {2}, {0.9, 1.3});
  }
  return made;
}

TestNetwork read_network(const std::string &path)
{
  const transip::Archive archive(path);
  for (const auto &entry : archive.entries())
    if (entry.name.ends_with("transip.json")) {
      const auto bytes = archive.contents(entry);
      const std::string text(bytes.begin(), bytes.end());
      TestNetwork network;
      network.metadata = transip::parse_metadata(text, path);
      network.weights = transip::Weights(archive, network.metadata);
      return network;
    }
  throw transip::Error(path + " has no transip.json");
}
