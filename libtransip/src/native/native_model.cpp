#include "native_model.h"

#include "radial.h"
#include "transip/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <unordered_map>

namespace transip {

namespace {

/// Classes whose forward the kernels repeat; a file made with any other code runs that code.
constexpr const char *engine_class = "transip_md.export.EngineModel";
constexpr const char *network_class = "transip_md.model.network.TransIP";

bool is_class(const torch::jit::Module &module, const std::string &name)
{
  const auto type = module.type()->name();
  if (!type) return false;
  // A second class of one name in a process gets a number put into its path.
  std::string found;
  for (const std::string &part : type->atoms())
    if (!part.starts_with("___torch_mangle_")) found += "." + part;
  return found == ".__torch__." + name;
}

/// Weights of a scripted module by name, in float64.
class Weights {
 public:
  explicit Weights(const torch::jit::Module &module)
  {
    for (const auto &parameter : module.named_parameters()) take(parameter.name, parameter.value);
    for (const auto &buffer : module.named_buffers()) take(buffer.name, buffer.value);
  }

  bool has(const std::string &name) const { return values_.count(name) != 0; }
  const std::vector<double> &operator[](const std::string &name) const { return values_.at(name); }
  std::int64_t size(const std::string &name, int axis) const { return shapes_.at(name).at(axis); }
  native::Linear linear(const std::string &name) const
  {
    return {(*this)[name + ".weight"].data(), (*this)[name + ".bias"].data()};
  }
  native::Norm norm(const std::string &name) const
  {
    return {(*this)[name + ".weight"].data(), (*this)[name + ".bias"].data()};
  }

 private:
  void take(const std::string &name, const at::Tensor &tensor)
  {
    const at::Tensor host = tensor.detach().to(at::kCPU, at::kDouble).contiguous();
    const double *data = host.const_data_ptr<double>();
    values_[name].assign(data, data + host.numel());
    shapes_[name] = host.sizes().vec();
  }

  std::map<std::string, std::vector<double>> values_;
  std::map<std::string, std::vector<std::int64_t>> shapes_;
};

struct Instructions {
  const char *name;
  native::Maker maker;
};

/// The best that this processor has, or less if the environment says so (TRANSIP_INSTRUCTIONS).
Instructions instructions_here()
{
  std::vector<Instructions> here = {{"baseline", native::make_baseline}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) here.push_back({"avx2", native::make_avx2});
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw"))
    here.push_back({"avx512", native::make_avx512});
#endif
  const char *wanted = std::getenv("TRANSIP_INSTRUCTIONS");
  if (!wanted || !*wanted) return here.back();
  std::string names;
  for (const Instructions &one : here) {
    if (std::string(wanted) == one.name) return one;
    names += (names.empty() ? "" : ", ") + std::string(one.name);
  }
  throw Error("The environment variable TRANSIP_INSTRUCTIONS must be one of " + names + " here; got '" + wanted + "'.");
}

}  // namespace

struct NativeModel::Impl {
  Weights weights;
  std::string instructions;
  std::unique_ptr<native::Kernel> kernel;
  std::unordered_map<std::int64_t, std::int64_t> place_of_species;
  std::size_t dim = 0;
  double cutoff = 0.0;
  int lowest_charge = 0, lowest_multiplicity = 0;

  // Of the evaluation at hand, kept for the next.
  std::vector<double> embedding, phases, slopes, token_gradient, distances, directions;
  std::vector<std::int64_t> first, owner;
  std::vector<std::int32_t> neighbour;
  std::vector<std::uint8_t> owned;

  explicit Impl(const torch::jit::Module &module) : weights(module) {}

  bool sees_coordinates() const { return weights.has("model.coordinates.weight"); }
  void find_edges(const Request &request, std::span<const double> positions);
  void add_edge(std::span<const double> positions, std::int64_t token, std::int64_t row);
  void embed(const Request &request, std::span<const double> positions);
};

NativeModel::NativeModel() = default;
NativeModel::~NativeModel() = default;

std::unique_ptr<NativeModel> NativeModel::take(torch::jit::Module &module, const Metadata &metadata)
{
  if (!metadata.conservative || !is_class(module, engine_class) || !module.hasattr("model")) return nullptr;
  const torch::jit::Module inside = module.attr("model").toModule();
  if (!is_class(inside, network_class)) return nullptr;

  std::unique_ptr<NativeModel> made(new NativeModel);
  made->impl_ = std::make_unique<Impl>(module);
  Impl &impl = *made->impl_;
  const Weights &weights = impl.weights;
  const bool single = metadata.dtype == "float32";
  impl.dim = static_cast<std::size_t>(weights.size("model.species_embedding.weight", 1));
  impl.cutoff = metadata.cutoff.value_or(0.0);
  impl.lowest_charge = metadata.charge.lowest;
  impl.lowest_multiplicity = metadata.multiplicity.lowest;
  for (std::size_t place = 0; place < metadata.species.size(); place++)
    impl.place_of_species[metadata.species[place]] = static_cast<std::int64_t>(place);

  native::Network network{};
  network.dim = static_cast<int>(impl.dim);
  network.layers = static_cast<int>(weights.size("model.rotary.frequencies", 0));
  network.heads = static_cast<int>(weights.size("model.rotary.frequencies", 1));
  network.feedforward = static_cast<int>(weights.size("model.blocks.0.feedforward.output.weight", 1));
  const torch::jit::Module block = *inside.attr("blocks").toModule().children().begin();
  network.rotary_values = block.attr("attention").toModule().attr("rotary_values").toBool();
  network.cutoff = impl.cutoff;
  network.frequencies = weights["model.rotary.frequencies"].data();
  std::vector<native::Layer> layers;
  for (int l = 0; l < network.layers; l++) {
    const std::string name = "model.blocks." + std::to_string(l) + ".";
    layers.push_back({weights.norm(name + "attention_norm"), weights.linear(name + "attention.query_key_value"),
                      weights.linear(name + "attention.output"), weights.norm(name + "feedforward_norm"),
                      weights.linear(name + "feedforward.gate_and_value"), weights.linear(name + "feedforward.output")});
  }
  network.layer = layers.data();
  network.energy_norm = weights.norm("model.energy_norm");
  network.energy_hidden = weights.linear("model.energy_head.0");
  network.energy_output = weights.linear("model.energy_head.2");

  std::optional<native::RadialTable> table;
  if (weights.has("model.radial.centres")) {
    const double inverse_width = inside.attr("radial").toModule().attr("inverse_width").toDouble();
    table.emplace(native::RadialNetwork{weights["model.radial.centres"], inverse_width,
                                        weights["model.radial.mlp.0.weight"], weights["model.radial.mlp.0.bias"],
                                        weights["model.radial.mlp.2.weight"], weights["model.radial.mlp.2.bias"]},
                  impl.cutoff, single);
  }
  const native::RadialPieces pieces = table ? table->pieces() : native::RadialPieces{1.0, 0, nullptr};
  const Instructions best = instructions_here();
  impl.instructions = best.name;
  impl.kernel.reset(best.maker(network, pieces, single));
  return impl.kernel ? std::move(made) : nullptr;
}

const std::string &NativeModel::instructions() const
{
  return impl_->instructions;
}

void NativeModel::Impl::add_edge(std::span<const double> positions, std::int64_t token, std::int64_t row)
{
  const double *here = &positions[3 * token], *there = &positions[3 * row];
  const double x = there[0] - here[0], y = there[1] - here[1], z = there[2] - here[2];
  const double square = x * x + y * y + z * z;
  if (cutoff > 0.0 && square >= cutoff * cutoff) return;
  const double distance = std::sqrt(square);
  neighbour.push_back(static_cast<std::int32_t>(row));
  distances.push_back(distance);
  // No direction, and so no number, between two atoms in one place: whoever looks at the forces finds it.
  directions.insert(directions.end(), {x / distance, y / distance, z / distance});
}

void NativeModel::Impl::find_edges(const Request &request, std::span<const double> positions)
{
  const auto tokens = static_cast<std::int64_t>(request.species.size());
  const auto rows = static_cast<std::int64_t>(positions.size() / 3);
  if (rows > std::numeric_limits<std::int32_t>::max())
    throw Error("A structure has " + std::to_string(rows) + " position rows; 2147483647 are the most.");
  first.assign(1, 0);
  neighbour.clear();
  distances.clear();
  directions.clear();
  const auto slots = tokens ? static_cast<std::int64_t>(request.neighbours.size()) / tokens : 0;
  if (cutoff <= 0.0 && (rows != tokens || slots != 0))
    throw Error("an all-to-all model takes an isolated molecule: no images, no neighbours");
  for (std::int64_t token = 0; token < tokens; token++) {
    if (cutoff > 0.0) {
      for (const std::int64_t row : request.neighbours.subspan(token * slots, slots)) {
        if (row >= rows) throw Error("A neighbour is row " + std::to_string(row) + " of " + std::to_string(rows) + ".");
        if (row >= 0) add_edge(positions, token, row);
      }
    } else {
      for (std::int64_t row = 0; row < rows; row++)
        if (row != token) add_edge(positions, token, row);
    }
    first.push_back(static_cast<std::int64_t>(neighbour.size()));
  }
}

void NativeModel::Impl::embed(const Request &request, std::span<const double> positions)
{
  const auto &species = weights["model.species_embedding.weight"];
  const double *charge = &weights["model.charge_embedding.weight"][(request.charge - lowest_charge) * dim];
  const double *spin =
      &weights["model.multiplicity_embedding.weight"][(request.multiplicity - lowest_multiplicity) * dim];
  const std::size_t tokens = request.species.size();
  embedding.resize(tokens * dim);
  for (std::size_t t = 0; t < tokens; t++) {
    const auto place = place_of_species.find(request.species[t]);
    if (place == place_of_species.end())
      throw Error("The model does not know atomic number " + std::to_string(request.species[t]) + ".");
    for (std::size_t i = 0; i < dim; i++)
      embedding[t * dim + i] = species[place->second * dim + i] + charge[i] + spin[i];
  }
  if (!sees_coordinates()) return;
  const auto &weight = weights["model.coordinates.weight"];
  std::array<double, 3> centre{};
  for (std::size_t t = 0; t < tokens; t++)
    for (std::size_t x = 0; x < 3; x++) centre[x] += positions[3 * t + x] / static_cast<double>(tokens);
  for (std::size_t t = 0; t < tokens; t++)
    for (std::size_t i = 0; i < dim; i++)
      for (std::size_t x = 0; x < 3; x++)
        embedding[t * dim + i] += weight[3 * i + x] * (positions[3 * t + x] - centre[x]);
}

void NativeModel::evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces)
{
  Impl &impl = *impl_;
  const std::size_t tokens = request.species.size(), rows = positions.size() / 3;
  const std::int64_t guests = request.exchange ? request.exchange->guests() : 0;
  impl.embed(request, positions);
  impl.find_edges(request, positions);
  impl.owner.resize(rows);
  for (std::size_t row = 0; row < rows; row++) {
    const auto self = static_cast<std::int64_t>(row);
    impl.owner[row] = request.owner.empty() ? self : request.owner[row];
    const std::int64_t own = static_cast<std::int64_t>(tokens), most = own + guests;
    if (impl.owner[row] < 0 || impl.owner[row] >= most || (self < own && impl.owner[row] != self))
      throw Error("Row " + std::to_string(row) + " of a structure has owner " + std::to_string(impl.owner[row]) +
                  "; there are " + std::to_string(tokens) + " tokens, and each owns itself" +
                  (guests ? ", and " + std::to_string(guests) + " guests." : "."));
  }
  if (request.owned.empty())
    impl.owned.assign(tokens, 1);
  else
    impl.owned.assign(request.owned.begin(), request.owned.end());

  result.energies.resize(tokens);
  impl.phases.resize(3 * rows);
  impl.slopes.resize(impl.neighbour.size());
  impl.token_gradient.resize(impl.sees_coordinates() ? tokens * impl.dim : 0);

  native::Input input{};
  input.tokens = static_cast<std::int64_t>(tokens);
  input.rows = static_cast<std::int64_t>(rows);
  input.embedding = impl.embedding.data();
  input.positions = positions.data();
  input.owner = impl.owner.data();
  input.owned = impl.owned.data();
  input.edges = {static_cast<std::int64_t>(impl.neighbour.size()), impl.first.data(), impl.neighbour.data(),
                 impl.distances.data()};
  input.exchange = request.exchange;
  native::Output output{result.energies.data(), forces ? impl.phases.data() : nullptr, impl.slopes.data(),
                        impl.sees_coordinates() ? impl.token_gradient.data() : nullptr};
  impl.kernel->run(input, output);

  const double scale = impl.weights["model.energy_scale"][0];
  const auto &reference = impl.weights["model.reference_energies"];
  for (std::size_t t = 0; t < tokens; t++)
    if (impl.owned[t])
      result.energies[t] =
          result.energies[t] * scale + reference[impl.place_of_species.at(request.species[t])];
  if (!forces) {
    result.forces.clear();
    return;
  }
  result.forces.resize(3 * rows);
  for (std::size_t i = 0; i < 3 * rows; i++) result.forces[i] = -scale * impl.phases[i];
  for (std::size_t t = 0; t < tokens; t++)
    for (auto e = static_cast<std::size_t>(impl.first[t]); e < static_cast<std::size_t>(impl.first[t + 1]); e++)
      for (std::size_t x = 0; x < 3; x++) {
        const double push = scale * impl.slopes[e] * impl.directions[3 * e + x];
        result.forces[3 * t + x] += push;
        result.forces[3 * static_cast<std::size_t>(impl.neighbour[e]) + x] -= push;
      }
  if (!impl.sees_coordinates()) return;
  const auto &weight = impl.weights["model.coordinates.weight"];
  for (std::size_t x = 0; x < 3; x++) {
    std::vector<double> along(tokens, 0.0);
    double mean = 0.0;
    for (std::size_t t = 0; t < tokens; t++) {
      for (std::size_t i = 0; i < impl.dim; i++) along[t] += weight[3 * i + x] * impl.token_gradient[t * impl.dim + i];
      mean += along[t] / static_cast<double>(tokens);
    }
    for (std::size_t t = 0; t < tokens; t++) result.forces[3 * t + x] -= scale * (along[t] - mean);
  }
}

}  // namespace transip
