#include "native_model.h"

#include "neighbours/same_place.h"
#include "network_reader.h"
#include "store.h"
#include "threads.h"
#include "transip/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <optional>

namespace transip {

namespace {

/// Threads of a model at most, and the largest atomic number.
constexpr int most_threads = 1024, most_elements = 118;

struct Instructions {
  const char *name;
  native::Maker maker;
};

/// The best that this processor has, or less if the environment asks for it (TRANSIP_INSTRUCTIONS).
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
  std::shared_ptr<native::Memory> memory = std::make_shared<native::Memory>();
  std::array<std::int32_t, most_elements + 1> index_of_species;  // -1: unknown
  const std::vector<double> *species_embedding = nullptr, *charge_embedding = nullptr, *multiplicity_embedding = nullptr,
                            *reference_energies = nullptr;
  const std::vector<double> *charge_energies = nullptr;  // null: charges have none
  const std::vector<double> *coordinates = nullptr;  // null: the network does not see them
  double energy_scale = 1.0;
  std::size_t dim = 0;
  double cutoff = 0.0;
  int lowest_charge = 0, lowest_multiplicity = 0;
  int threads = 1;
  std::unique_ptr<native::Threads> pool;  // made when first wanted

  // State of the evaluation at hand, kept for the next.
  std::vector<double> embedding, token_gradient;
  std::vector<std::int64_t> first, owner;
  std::vector<std::int32_t> species, embedding_line;
  std::vector<std::uint8_t> owned;

  explicit Impl(Weights &&taken) : weights(std::move(taken)) {}

  void find_candidates(const Request &request, std::span<const double> positions);
  native::Workers *workers();
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
  impl.index_of_species.fill(-1);
  for (std::size_t place = 0; place < metadata.species.size(); place++)
    impl.index_of_species.at(static_cast<std::size_t>(metadata.species[place])) = static_cast<std::int32_t>(place);
  const auto kinds = static_cast<std::int64_t>(metadata.species.size());
  const auto count = [](const Range &range) { return std::int64_t{range.highest} - range.lowest + 1; };
  impl.species_embedding = &impl.weights.get("model.species_embedding.weight", {kinds, shape.dim});
  impl.charge_embedding = &impl.weights.get("model.charge_embedding.weight", {count(metadata.charge), shape.dim});
  impl.multiplicity_embedding =
      &impl.weights.get("model.multiplicity_embedding.weight", {count(metadata.multiplicity), shape.dim});
  if (shape.coordinates) impl.coordinates = &impl.weights.get("model.coordinates.weight", {shape.dim, 3});
  impl.energy_scale = impl.weights.get("model.energy_scale", {})[0];
  impl.reference_energies = &impl.weights.get("model.reference_energies", {kinds});
  if (shape.charge_energies) impl.charge_energies = &impl.weights.get("model.charge_energies", {count(metadata.charge)});

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
  return impl.memory->bytes() / impl.memory.use_count() + bytes(impl.embedding) + bytes(impl.token_gradient) + bytes(impl.first) +
         bytes(impl.owner) + bytes(impl.species) + bytes(impl.embedding_line) + bytes(impl.owned);
}

void NativeModel::set_threads(int threads)
{
  if (threads < 1) throw Error("A model runs on one thread or more; got " + std::to_string(threads) + ".");
  impl_->threads = std::min(threads, most_threads);
  if (impl_->pool && impl_->pool->count() != impl_->threads) impl_->pool.reset();
}

bool NativeModel::share_memory(NativeModel &first)
{
  const bool shared = impl_->memory != first.impl_->memory;
  impl_->memory = first.impl_->memory;
  return shared;
}

native::Workers *NativeModel::workers()
{
  return impl_->workers();
}

const std::string &NativeModel::instructions() const
{
  return impl_->instructions;
}

void NativeModel::Impl::find_candidates(const Request &request, std::span<const double> positions)
{
  const auto tokens = static_cast<std::int64_t>(request.species.size());
  const auto rows = static_cast<std::int64_t>(positions.size() / 3);
  if (rows > std::numeric_limits<std::int32_t>::max())
    throw Error("A structure has " + std::to_string(rows) + " position rows; 2147483647 are the most.");
  if (cutoff <= 0.0 && (rows != tokens || !request.neighbours.empty()))
    throw Error("an all-to-all model takes an isolated molecule: no images, no neighbours");
  if (request.first.empty()) first.assign(static_cast<std::size_t>(tokens) + 1, 0);
}

native::Workers *NativeModel::Impl::workers()
{
  if (threads <= 1) return nullptr;
  // In a forked child there are no workers but new ones.
  if (!pool || pool->orphaned()) pool = std::make_unique<native::Threads>(threads);
  return pool.get();
}

[[noreturn]] void throw_fault(const native::Fault &fault, std::size_t rows)
{
  switch (fault.kind) {
    case native::Fault::Kind::same_place: throw_same_place(static_cast<std::size_t>(fault.row));
    case native::Fault::Kind::no_such_row:
      throw Error("A neighbour is row " + std::to_string(fault.row) + " of " + std::to_string(rows) + ".");
    default: throw Error("A structure has " + std::to_string(fault.row) + " edges; 1073741824 are the most.");
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
  const std::size_t tokens = request.species.size(), kinds = reference_energies->size();
  species.resize(tokens);
  for (std::size_t t = 0; t < tokens; t++) {
    const std::int64_t number = request.species[t];
    species[t] = number < 0 || number > most_elements ? -1 : index_of_species[static_cast<std::size_t>(number)];
    if (species[t] < 0) throw Error("The model does not know atomic number " + std::to_string(number) + ".");
  }
  const std::size_t lines = coordinates ? tokens : kinds;
  embedding.resize(lines * dim);
  for (std::size_t line = 0; line < lines; line++) {
    const std::size_t kind = coordinates ? static_cast<std::size_t>(species[line]) : line;
    for (std::size_t i = 0; i < dim; i++)
      embedding[line * dim + i] = (*species_embedding)[kind * dim + i] + charge[i] + spin[i];
  }
  if (!coordinates) return;
  embedding_line.resize(tokens);
  std::iota(embedding_line.begin(), embedding_line.end(), 0);
  const std::vector<double> &weight = *coordinates;
  std::array<double, 3> centre{};
  for (std::size_t t = 0; t < tokens; t++)
    for (std::size_t x = 0; x < 3; x++) centre[x] += positions[3 * t + x] / static_cast<double>(tokens);
  for (std::size_t t = 0; t < tokens; t++)
    for (std::size_t i = 0; i < dim; i++)
      for (std::size_t x = 0; x < 3; x++)
        embedding[t * dim + i] += weight[3 * i + x] * (positions[3 * t + x] - centre[x]);
}

void NativeModel::evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces,
                           std::vector<double> *virials, std::vector<double> *normalised, double near,
                           std::vector<Edge> *nearby)
{
  Impl &impl = *impl_;
  if (virials && impl.coordinates)
    throw Error("There is no virial of single atoms for a network that sees coordinates (architecture: coordinates): its "
                "energy is no function of the vectors between atoms. Use the virial of the whole.");
  if (virials && !forces) throw Error("Virials of single atoms are made with the forces, which were not asked for.");
  const std::size_t tokens = request.species.size(), rows = positions.size() / 3;
  const std::int64_t halo_atoms = request.exchange ? request.exchange->halo_atoms() : 0;
  impl.embed(request, positions);
  impl.find_candidates(request, positions);
  impl.owner.resize(rows);
  for (std::size_t row = 0; row < rows; row++) {
    const auto self = static_cast<std::int64_t>(row);
    impl.owner[row] = request.owner.empty() ? self : request.owner[row];
    const std::int64_t own = static_cast<std::int64_t>(tokens), most = own + halo_atoms;
    if (impl.owner[row] < 0 || impl.owner[row] >= most || (self < own && impl.owner[row] != self))
      throw Error("Row " + std::to_string(row) + " of a structure has owner " + std::to_string(impl.owner[row]) +
                  "; there are " + std::to_string(tokens) + " tokens, and each owns itself" +
                  (halo_atoms ? ", and " + std::to_string(halo_atoms) + " halo_atoms." : "."));
  }
  if (request.owned.empty())
    impl.owned.assign(tokens, 1);
  else
    impl.owned.assign(request.owned.begin(), request.owned.end());

  result.energies.resize(tokens);
  result.forces.resize(forces ? 3 * rows : 0);
  impl.token_gradient.resize(impl.coordinates ? tokens * impl.dim : 0);
  if (virials) virials->resize(9 * tokens);
  if (normalised) normalised->resize(tokens * impl.dim);

  native::Input input{};
  input.tokens = static_cast<std::int64_t>(tokens);
  input.rows = static_cast<std::int64_t>(rows);
  input.kinds = static_cast<std::int64_t>(impl.embedding.size() / impl.dim);
  input.embedding = impl.embedding.data();
  input.kind = impl.coordinates ? impl.embedding_line.data() : impl.species.data();
  input.positions = positions.data();
  input.owner = impl.owner.data();
  input.owned = impl.owned.data();
  if (impl.cutoff > 0.0) input.candidates = {request.first.empty() ? impl.first.data() : request.first.data(), request.neighbours.data()};
  input.exchange = request.exchange;
  input.workers = impl.workers();
  input.memory = impl.memory.get();
  // Positions of a rotated copy are others.
  input.geometry = positions.data() == request.positions.data() ? request.geometry : 0;
  input.near = nearby ? near : 0.0;
  // A rank without rows takes part in the exchange of gradients all the same.
  double of_no_row = 0.0;
  double *gradient = rows ? result.forces.data() : &of_no_row;
  const native::Output output{result.energies.data(), forces ? gradient : nullptr,
                              impl.coordinates ? impl.token_gradient.data() : nullptr,
                              virials ? virials->data() : nullptr, normalised ? normalised->data() : nullptr};
  const native::Fault fault = impl.kernel->run(input, output);
  if (fault.kind != native::Fault::Kind::none) throw_fault(fault, rows);

  if (nearby) {
    nearby->clear();
    for (std::int64_t t = 0; t < input.tokens && input.near > 0.0; t++) {
      const native::NearRows found = impl.kernel->near(t);
      for (std::int32_t k = 0; k < found.count; k++) nearby->push_back({t, found.row[k]});
    }
  }

  const double scale = impl.energy_scale;
  double share = 0.0;  // of an atom in the charge's reference energy
  if (impl.charge_energies)
    share = (*impl.charge_energies)[static_cast<std::size_t>(request.charge - impl.lowest_charge)] / static_cast<double>(tokens);
  for (std::size_t t = 0; t < tokens; t++)
    if (impl.owned[t])
      result.energies[t] =
          result.energies[t] * scale + (*impl.reference_energies)[static_cast<std::size_t>(impl.species[t])] + share;
  for (double &force : result.forces) force *= -scale;
  if (virials)
    for (double &virial : *virials) virial *= scale;
  if (!forces) return;
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
