#include "native_model.h"

#include "../same_place.h"
#include "network_reader.h"
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
  std::unordered_map<std::int64_t, std::size_t> index_of_species;
  const std::vector<double> *species_embedding = nullptr, *charge_embedding = nullptr, *multiplicity_embedding = nullptr,
                            *reference_energies = nullptr;
  const std::vector<double> *coordinates = nullptr;  // null: the network does not see them
  double energy_scale = 1.0;
  std::size_t dim = 0;
  double cutoff = 0.0;
  int lowest_charge = 0, lowest_multiplicity = 0;

  // Of the evaluation at hand, kept for the next.
  std::vector<double> embedding, phases, slopes, token_gradient, distances, directions;
  std::vector<std::int64_t> first, owner;
  std::vector<std::int32_t> neighbour;
  std::vector<std::uint8_t> owned;

  explicit Impl(Weights &&taken) : weights(std::move(taken)) {}

  void find_edges(const Request &request, std::span<const double> positions);
  void add_edge(std::span<const double> positions, std::int64_t token, std::int64_t row);
  void embed(const Request &request, std::span<const double> positions);
};

NativeModel::NativeModel() = default;
NativeModel::~NativeModel() = default;

std::unique_ptr<NativeModel> NativeModel::make(Weights weights, const Metadata &metadata)
{
  if (!metadata.conservative || !metadata.architecture) return nullptr;
  const Architecture &shape = *metadata.architecture;
  if (shape.dim % (2 * shape.heads) != 0)
    throw Error("A width of " + std::to_string(shape.dim) + " is no multiple of 2 x " + std::to_string(shape.heads) +
                " heads. Export the model again.");

  std::unique_ptr<NativeModel> made(new NativeModel);
  made->impl_ = std::make_unique<Impl>(std::move(weights));
  Impl &impl = *made->impl_;
  const bool single = metadata.dtype == "float32";
  impl.dim = static_cast<std::size_t>(shape.dim);
  impl.cutoff = metadata.cutoff.value_or(0.0);
  impl.lowest_charge = metadata.charge.lowest;
  impl.lowest_multiplicity = metadata.multiplicity.lowest;
  for (std::size_t place = 0; place < metadata.species.size(); place++)
    impl.index_of_species[metadata.species[place]] = place;
  const auto kinds = static_cast<std::int64_t>(metadata.species.size());
  const auto count = [](const Range &range) { return std::int64_t{range.highest} - range.lowest + 1; };
  impl.species_embedding = &impl.weights.get("model.species_embedding.weight", {kinds, shape.dim});
  impl.charge_embedding = &impl.weights.get("model.charge_embedding.weight", {count(metadata.charge), shape.dim});
  impl.multiplicity_embedding =
      &impl.weights.get("model.multiplicity_embedding.weight", {count(metadata.multiplicity), shape.dim});
  if (shape.coordinates) impl.coordinates = &impl.weights.get("model.coordinates.weight", {shape.dim, 3});
  impl.energy_scale = impl.weights.get("model.energy_scale", {})[0];
  impl.reference_energies = &impl.weights.get("model.reference_energies", {kinds});

  NetworkReader reader(impl.weights, shape, impl.cutoff);
  const native::Network network = reader.network();
  const std::optional<native::RadialTable> table = reader.radial_table(single);
  const native::RadialPieces pieces = table ? table->pieces() : native::RadialPieces{1.0, 0, nullptr};
  const Instructions best = instructions_here();
  impl.instructions = best.name;
  impl.kernel.reset(best.maker(network, pieces, single));
  return impl.kernel ? std::move(made) : nullptr;
}

std::int64_t NativeModel::memory() const
{
  const auto bytes = [](const auto &values) { return static_cast<std::int64_t>(values.capacity() * sizeof(values[0])); };
  const Impl &impl = *impl_;
  return impl.kernel->memory() + bytes(impl.embedding) + bytes(impl.phases) + bytes(impl.slopes) +
         bytes(impl.token_gradient) + bytes(impl.distances) + bytes(impl.directions) + bytes(impl.first) +
         bytes(impl.owner) + bytes(impl.neighbour) + bytes(impl.owned);
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
  if (square == 0.0) throw_same_place(static_cast<std::size_t>(row));
  const double distance = std::sqrt(square);
  neighbour.push_back(static_cast<std::int32_t>(row));
  distances.push_back(distance);
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
  const auto row = [this](const std::vector<double> &table, int value, int lowest, const char *what) {
    const auto index = static_cast<std::size_t>(std::int64_t{value} - lowest);
    if (value < lowest || index >= table.size() / dim)
      throw Error("The model does not know " + std::string(what) + " " + std::to_string(value) + ".");
    return &table[index * dim];
  };
  const double *charge = row(*charge_embedding, request.charge, lowest_charge, "charge");
  const double *spin = row(*multiplicity_embedding, request.multiplicity, lowest_multiplicity, "multiplicity");
  const std::size_t tokens = request.species.size();
  embedding.resize(tokens * dim);
  for (std::size_t t = 0; t < tokens; t++) {
    const auto index = index_of_species.find(request.species[t]);
    if (index == index_of_species.end())
      throw Error("The model does not know atomic number " + std::to_string(request.species[t]) + ".");
    for (std::size_t i = 0; i < dim; i++)
      embedding[t * dim + i] = (*species_embedding)[index->second * dim + i] + charge[i] + spin[i];
  }
  if (!coordinates) return;
  const std::vector<double> &weight = *coordinates;
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
  impl.token_gradient.resize(impl.coordinates ? tokens * impl.dim : 0);

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
                        impl.coordinates ? impl.token_gradient.data() : nullptr};
  impl.kernel->run(input, output);

  const double scale = impl.energy_scale;
  for (std::size_t t = 0; t < tokens; t++)
    if (impl.owned[t])
      result.energies[t] =
          result.energies[t] * scale + (*impl.reference_energies)[impl.index_of_species.at(request.species[t])];
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
  if (!impl.coordinates) return;
  const std::vector<double> &weight = *impl.coordinates;
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
