#include "transip/model.h"

#include "cuda_graph.h"
#include "modelfile/archive.h"
#include "modelfile/reference.h"
#include "modelfile/weights.h"
#include "native/frame.h"
#include "native/native_model.h"
#include "native/scripted_weights.h"
#include "native/symmetry_tables.h"
#include "program.h"
#include "same_place.h"
#include "transip/elements.h"
#include "transip/error.h"
#include "transip/tolerances.h"

#include <ATen/Parallel.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <numeric>
#include <optional>
#include <sstream>
#include <tuple>

namespace transip {

namespace {

constexpr const char *metadata_record = "extra/transip.json";
constexpr const char *reference_record = "extra/reference.json";
constexpr const char *script_record = "constants.pkl";
constexpr const char *compiled_folder = "data/aotinductor/";

/// Share of its own rounding by which two evaluations of a structure may differ: that of one side and that of the other.
constexpr double both_sides = 2.0;

/// What a file says of itself, before anything else is looked at.
struct Card {
  Metadata metadata;
  bool compiled;                       ///< the file holds compiled code, not TorchScript
  std::optional<Reference> reference;  ///< if the file brings one
};

Card read_card(const Archive &archive)
{
  const std::string &path = archive.path();
  const Archive::Entry *entry = archive.find(metadata_record);
  if (!entry)
    throw Error(path + (archive.find(script_record) ? " is a TorchScript file without"
                                                    : " is not a TorchScript file: it has no") +
                " transip.json, so its species, cutoff and units are unknown. Make the file with "
                "`transip-md export CHECKPOINT -o model.pt`.");
  const auto text = archive.contents(*entry);
  Card card{parse_metadata({reinterpret_cast<const char *>(text.data()), text.size()}, path), false, std::nullopt};
  card.compiled = std::any_of(archive.entries().begin(), archive.entries().end(),
                              [](const Archive::Entry &one) { return one.name.starts_with(compiled_folder); });
  if (card.metadata.format >= 2) check_weights(archive, card.metadata);
  if (const Archive::Entry *found = archive.find(reference_record))
    card.reference = parse_reference(archive.contents(*found), card.metadata, path);
  return card;
}

/// The device that is asked for; that of a compiled file is the one it was compiled for.
std::string device_name(const std::string &asked, const Card &card, const std::string &path)
{
  if (!card.compiled) return asked;
  const std::string &compiled_for = card.metadata.compiled_device;
  if (asked == "auto") return compiled_for;
  if (asked.substr(0, asked.find(':')) != compiled_for)
    throw Error(path + " was compiled for device " + compiled_for + "; got device '" + asked +
                "'. Export it again with --device, or leave the device out.");
  return asked;
}

/// The device of a name; processes that share a node share out its CUDA devices by their number there.
c10::Device choose_device(const std::string &name, int node_rank)
{
  const auto count = static_cast<int>(at::getNumGPUs());
  const auto turn = static_cast<c10::DeviceIndex>(count > 0 ? node_rank % count : 0);
  if (name == "auto") return count > 0 ? c10::Device(c10::kCUDA, turn) : c10::Device(c10::kCPU);
  const std::string expected = "device must be auto, cpu, cuda or cuda:N, got '" + name + "'.";
  c10::Device device(c10::kCPU);
  try {
    device = c10::Device(name);
  } catch (const c10::Error &) {
    throw Error(expected);
  }
  if (device.is_cpu()) return device;
  if (!device.is_cuda()) throw Error(expected);
  const int index = device.has_index() ? device.index() : turn;
  if (index >= count)
    throw Error("device '" + name + "' was asked for, but torch " + torch_version() + " sees " +
                std::to_string(count) + " CUDA devices. Use device cpu, or install a CUDA build of torch and type "
                "`transip-md build`.");
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

/// A tensor on the caller's memory; the model only reads it.
template <typename T>
at::Tensor view(std::span<const T> values, at::IntArrayRef shape, at::ScalarType type)
{
  return torch::from_blob(const_cast<T *>(values.data()), shape, at::TensorOptions().dtype(type));
}

void copy_out(const at::Tensor &tensor, std::vector<double> &values)
{
  const at::Tensor host = tensor.to(at::kCPU, at::kDouble).contiguous();
  const double *data = host.const_data_ptr<double>();
  values.assign(data, data + host.numel());
}

/// Throw NotFinite for the first value that is NaN or infinite; `stride` values belong to a row.
void require_finite(const std::vector<double> &values, std::size_t stride, const char *what)
{
  const auto bad = std::find_if_not(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
  if (bad == values.end()) return;
  throw NotFinite(std::string("The model gave ") + what + " that is not finite (NaN or infinity)",
                  static_cast<std::size_t>(bad - values.begin()) / stride);
}

void require_shape(bool fits, const char *name, std::size_t size)
{
  if (!fits) throw Error(std::string("A request to the model has ") + name + " of size " + std::to_string(size) + ".");
}

}  // namespace

struct Model::Impl {
  Archive archive;
  Metadata metadata;
  bool compiled;
  c10::Device device;
  std::optional<Reference> reference;
  std::unique_ptr<Program> loaded{};
  Symmetry symmetry{};
  at::Tensor rotations{}, weights{};    // of an average
  at::Tensor masses{}, places{};        // of the frame
  std::vector<std::int64_t> species{};  // of the frame's reference
  std::unique_ptr<NativeModel> native{};  // null: torch evaluates
  std::optional<Frame> frame{};           // of the native kernels
  std::optional<SymmetryTables> tables{};  // of files with an index of their weights; else their TorchScript is asked
  RotationSet set{};                       // of an average by the native kernels
  std::unique_ptr<CudaGraph> graph{};     // null: kernels are launched one by one

  /// torch keeps a CUDA device's memory for its next model; other programs on the device shall have it back.
  ~Impl()
  {
    graph.reset();
    loaded.reset();
    if (!device.is_cuda()) return;
    try {
      c10::getDeviceAllocator(device.type())->emptyCache();
    } catch (const c10::Error &) {
      // A destructor must not throw; after an error of CUDA the allocator may.
    }
  }

  /// The file's TorchScript or compiled code, loaded when it is first needed: native kernels do without.
  Program &program()
  {
    if (!loaded) loaded = load_program(archive, metadata, compiled, device);
    return *loaded;
  }

  std::optional<Weights> network_weights();
  at::Tensor to_device(const at::Tensor &tensor) const { return tensor.to(device); }
  std::vector<at::Tensor> inputs(const Request &request) const;
  Output run(const Request &request, const Symmetry &wanted);
  void run_native(const Request &request, Result &result, bool forces, const Symmetry &wanted);
  void run_torch(const Request &request, Result &result, bool forces, const Symmetry &wanted);
  void average_native(const Request &request, Result &result, bool forces, std::span<const double> turns,
                      std::span<const double> shares);
  void check_frame(const Request &request) const;
  void compare(const ReferenceState &state, const Result &got) const;
  void evaluate(const Request &request, Result &result, bool forces, const Symmetry &wanted);
};

/// Error of what torch or the native kernels complained of; the file's TorchScript for symmetry speaks to users.
[[noreturn]] static void rethrow(const std::exception &problem, const char *by = "torch")
{
  const std::string text = essence(problem);
  throw Error(text.starts_with("symmetry ") ? text + "." : std::string(by) + " could not evaluate the model: " + text);
}

/// Throw unless all arrays of a request fit together.
static void check_shapes(const Request &request)
{
  const auto tokens = static_cast<std::int64_t>(request.species.size());
  const auto rows = static_cast<std::int64_t>(request.positions.size() / 3);
  const auto slots = static_cast<std::int64_t>(tokens ? request.neighbours.size() / request.species.size() : 0);
  require_shape(request.positions.size() == static_cast<std::size_t>(3 * rows) && rows >= tokens, "positions",
                request.positions.size());
  require_shape(request.owner.size() == static_cast<std::size_t>(rows) || (request.owner.empty() && rows == tokens),
                "owner", request.owner.size());
  require_shape(request.owned.empty() || request.owned.size() == request.species.size(), "owned",
                request.owned.size());
  require_shape(request.neighbours.size() == static_cast<std::size_t>(slots * tokens), "neighbours",
                request.neighbours.size());
}

std::vector<at::Tensor> Model::Impl::inputs(const Request &request) const
{
  check_shapes(request);
  if (request.exchange) throw Error("Only native kernels take an exchange.");
  const auto tokens = static_cast<std::int64_t>(request.species.size());
  const auto rows = static_cast<std::int64_t>(request.positions.size() / 3);
  const auto slots = static_cast<std::int64_t>(tokens ? request.neighbours.size() / request.species.size() : 0);
  const at::Tensor owner =
      request.owner.empty() ? at::arange(rows, at::kLong) : view(request.owner, {rows}, at::kLong);
  const at::Tensor owned =
      request.owned.empty() ? at::ones({tokens}, at::kBool) : view(request.owned, {tokens}, at::kBool);
  return {
      to_device(view(request.species, {tokens}, at::kLong)),
      to_device(view(request.positions, {rows, 3}, at::kDouble)),
      to_device(owner),
      to_device(owned),
      to_device(view(request.neighbours, {tokens, slots}, at::kLong)),
      to_device(at::scalar_tensor(request.charge, at::kLong)),
      to_device(at::scalar_tensor(request.multiplicity, at::kLong)),
  };
}

/// Weights for the native kernels; none if the network is not one that they know.
std::optional<Weights> Model::Impl::network_weights()
{
  if (!metadata.architecture || !metadata.conservative) return std::nullopt;
  if (metadata.format >= 2) return Weights(archive, metadata);
  return scripted_weights(*program().scripted());
}

/// The kernels that are asked for, by the environment where the caller leaves it open.
static std::string kernels_name(const std::string &asked)
{
  const char *preset = std::getenv("TRANSIP_KERNELS");
  const std::string name = asked == "auto" && preset && *preset ? preset : asked;
  if (name != "auto" && name != "native" && name != "torch")
    throw Error("kernels must be auto, native or torch; got '" + name + "'" +
                (name == asked ? "." : " in the environment variable TRANSIP_KERNELS."));
  return name;
}

Model::Model(const std::string &path, const std::string &device, int node_rank, const std::string &kernels)
try {
  const std::string wanted = kernels_name(kernels);
  Archive archive(path);
  Card card = read_card(archive);
  const c10::Device chosen = choose_device(device_name(device, card, path), node_rank);
  // Impl gives memory back when it goes, and so cannot be moved: made in place.
  impl_.reset(
      new Impl{std::move(archive), std::move(card.metadata), card.compiled, chosen, std::move(card.reference)});
  if (wanted != "torch" && chosen.is_cpu() && !card.compiled)
    if (auto weights = impl_->network_weights()) {
      if (impl_->metadata.format >= 2) impl_->tables = SymmetryTables::from(*weights);
      impl_->native = NativeModel::make(std::move(*weights), impl_->metadata);
    }
  if (!impl_->native) impl_->program();
  // The shapes of an isolated molecule never change; neighbours' do.
  if (wanted != "torch" && !impl_->metadata.cutoff)
    impl_->graph = make_cuda_graph(chosen, parity(impl_->metadata.dtype), [program = impl_->loaded.get()](auto inputs) {
      return program->run(std::move(inputs));
    });
  if (wanted == "native" && !impl_->native)
    throw Error("There are no native kernels for " + path + ": they are for TransIP models in TorchScript files, with "
                "forces that are the gradient of the energy, on the CPU. Use kernels auto.");
} catch (const Error &) {
  throw;
} catch (const std::exception &problem) {
  // Memory that is not there, or what a damaged file makes of the standard library.
  throw Error(path + " could not be loaded: " + essence(problem));
}

Model::~Model() = default;
Model::Model(Model &&) noexcept = default;
Model &Model::operator=(Model &&) noexcept = default;

const Metadata &Model::metadata() const
{
  return impl_->metadata;
}

std::string Model::device() const
{
  return impl_->device.str();
}

std::string Model::runs_by() const
{
  if (impl_->native) return "native kernels (" + impl_->native->instructions() + ")";
  return std::string(impl_->compiled ? "compiled code" : "TorchScript") +
         (impl_->graph ? ", CUDA graphs" : "");
}

bool Model::exchanges() const
{
  return impl_->native && impl_->metadata.cutoff;
}

void Model::check_charge(int charge, int multiplicity) const
{
  const Metadata &known = impl_->metadata;
  if (!known.charge.contains(charge))
    throw Error("The model knows charge " + known.charge.text() + "; got charge " + std::to_string(charge) + ".");
  if (!known.multiplicity.contains(multiplicity))
    throw Error("The model knows multiplicity " + known.multiplicity.text() + "; got multiplicity " +
                std::to_string(multiplicity) + ".");
}

void Model::check_species(int atomic_number) const
{
  if (!impl_->metadata.knows(atomic_number))
    throw Error("The model does not know " + symbol(atomic_number) + "; it was trained on " +
                symbols(impl_->metadata.species) + ".");
}

void Model::set_symmetry(const Symmetry &symmetry)
{
  const std::vector<std::string> &offered = impl_->metadata.symmetry;
  if (symmetry.mode != Symmetry::Mode::none) {
    if (offered.empty())
      throw Error(impl_->archive.path() + " offers no symmetry: it was exported before there was any. Export it anew: `transip-md "
                                "export CHECKPOINT -o " + impl_->archive.path() + "`.");
    if (std::find(offered.begin(), offered.end(), symmetry.name()) == offered.end()) {
      std::string list;
      for (const std::string &name : offered) list += (list.empty() ? "" : ", ") + name;
      throw Error(impl_->archive.path() + " offers symmetry " + list + "; got " + symmetry.name() +
                  ". The frame is for isolated molecules: models without a cutoff whose forces are the gradient of "
                  "their energy.");
    }
  }
  if (symmetry.mode == Symmetry::Mode::average && impl_->native && impl_->tables) {
    impl_->set = impl_->tables->rotation_set(symmetry.count, symmetry.inversion);
  } else if (symmetry.mode == Symmetry::Mode::average) {
    try {
      std::tie(impl_->rotations, impl_->weights) = impl_->program().rotation_set(symmetry.count, symmetry.inversion);
    } catch (const std::exception &problem) {
      rethrow(problem);
    }
  }
  if (impl_->rotations.defined()) {
    copy_out(impl_->rotations, impl_->set.rotations);
    copy_out(impl_->weights, impl_->set.weights);
  }
  impl_->symmetry = symmetry;
  impl_->masses = at::Tensor();
  impl_->frame.reset();
}

const Symmetry &Model::symmetry() const
{
  return impl_->symmetry;
}

bool Model::needs_reference() const
{
  return impl_->symmetry.mode == Symmetry::Mode::frame && !impl_->frame;
}

void Model::set_reference(std::span<const std::int64_t> species, std::span<const double> positions)
{
  const auto count = static_cast<std::int64_t>(species.size());
  require_shape(positions.size() == 3 * species.size(), "positions", positions.size());
  if (impl_->native && impl_->tables) {
    impl_->frame = impl_->tables->make_frame(species, positions);
    impl_->species.assign(species.begin(), species.end());
    return;
  }
  try {
    std::tie(impl_->masses, impl_->places) = impl_->program().make_frame(
        impl_->to_device(view(species, {count}, at::kLong)), impl_->to_device(view(positions, {count, 3}, at::kDouble)));
  } catch (const std::exception &problem) {
    rethrow(problem);
  }
  impl_->species.assign(species.begin(), species.end());
  std::vector<double> masses, places;
  copy_out(impl_->masses, masses);
  copy_out(impl_->places, places);
  impl_->frame.emplace(std::move(masses), std::move(places));
}

bool Model::has_reference() const
{
  return impl_->reference.has_value();
}

bool Model::check_reference()
{
  if (!impl_->reference) return false;
  const Reference &wanted = *impl_->reference;
  Request request;
  request.species = wanted.species;
  request.positions = wanted.positions;
  request.owner = wanted.owner;
  request.neighbours = wanted.neighbours;
  Result got;
  for (const ReferenceState &state : wanted.states) {
    check_charge(state.charge, state.multiplicity);
    request.charge = state.charge;
    request.multiplicity = state.multiplicity;
    impl_->evaluate(request, got, true, {});
    impl_->compare(state, got);
  }
  return true;
}

void Model::Impl::compare(const ReferenceState &state, const Result &got) const
{
  const Tolerance usual = parity(metadata.dtype);
  const Tolerance allowed{std::max(usual.energy, both_sides * state.energy_rounding),
                          std::max(usual.force, both_sides * state.force_rounding)};
  const double energy = std::abs(got.energy - state.energy);
  double force = 0.0;
  for (std::size_t i = 0; i < state.forces.size(); i++)
    force = std::max(force, std::abs(got.forces.at(i) - state.forces[i]));
  if (energy <= allowed.energy && force <= allowed.force) return;
  const auto text = [](double value) {
    std::ostringstream stream;
    stream << value;
    return stream.str();
  };
  throw Error(archive.path() + " does not give the numbers here that it gave where it was exported: the energy of its " +
              "reference structure differs by " + text(energy) + " eV (allowed " + text(allowed.energy) +
              "), forces by " + text(force) + " eV/A (allowed " + text(allowed.force) +
              "). Export the model again on this machine.");
}

void Model::Impl::check_frame(const Request &request) const
{
  if (!frame) throw Error("symmetry frame was given no reference structure.");
  if (!std::equal(species.begin(), species.end(), request.species.begin(), request.species.end()))
    throw Error("symmetry frame: the atoms are not those of the reference structure, which has " +
                std::to_string(species.size()) + "; got " + std::to_string(request.species.size()) +
                ", or other elements. Give a reference with the same atoms in the same order.");
}

/// positions R^T for row vectors, or positions R.
static std::vector<double> product(std::span<const double> positions, const double *rotation, bool transposed)
{
  std::vector<double> turned(positions.size());
  for (std::size_t i = 0; i + 2 < positions.size(); i += 3)
    for (std::size_t a = 0; a < 3; a++)
      for (std::size_t b = 0; b < 3; b++)
        turned[i + a] += positions[i + b] * (transposed ? rotation[3 * a + b] : rotation[3 * b + a]);
  return turned;
}

void Model::Impl::average_native(const Request &request, Result &result, bool forces, std::span<const double> turns,
                                 std::span<const double> shares)
{
  std::vector<double> energies(request.species.size()), sum(forces ? request.positions.size() : 0);
  for (std::size_t n = 0; n < shares.size(); n++) {
    const double *rotation = &turns[9 * n];
    native->evaluate(request, product(request.positions, rotation, true), result, forces);
    for (std::size_t t = 0; t < energies.size(); t++) energies[t] += shares[n] * result.energies[t];
    const std::vector<double> back = product(result.forces, rotation, false);
    for (std::size_t i = 0; i < back.size(); i++) sum[i] += shares[n] * back[i];
  }
  result.energies = std::move(energies);
  result.forces = std::move(sum);
}

void Model::Impl::run_native(const Request &request, Result &result, bool forces, const Symmetry &wanted)
{
  check_shapes(request);
  switch (wanted.mode) {
    case Symmetry::Mode::average: return average_native(request, result, forces, set.rotations, set.weights);
    case Symmetry::Mode::random:
      return average_native(request, result, forces, numbered_rotation(wanted.seed, request.step),
                            std::array<double, 1>{1.0});
    case Symmetry::Mode::frame: {
      check_frame(request);
      native->evaluate(request, frame->turned(request.positions), result, forces);
      if (forces) frame->turn_back(result.forces);
      return;
    }
    case Symmetry::Mode::none: return native->evaluate(request, request.positions, result, forces);
  }
}

Output Model::Impl::run(const Request &request, const Symmetry &wanted)
{
  switch (wanted.mode) {
    case Symmetry::Mode::average: return program().run_average(inputs(request), rotations, weights);
    case Symmetry::Mode::random: {
      std::array<double, 9> rotation = numbered_rotation(wanted.seed, request.step);
      const at::Tensor turn = to_device(at::from_blob(rotation.data(), {1, 3, 3}, at::kDouble).clone());
      return program().run_average(inputs(request), turn, at::ones({1}, turn.options()));
    }
    case Symmetry::Mode::frame:
      check_frame(request);
      return program().run_frame(inputs(request), masses, places);
    case Symmetry::Mode::none: break;
  }
  return graph ? graph->run(inputs(request)) : program().run(inputs(request));
}

std::int64_t Model::memory() const
{
  return static_cast<std::int64_t>(impl_->archive.bytes().size()) + (impl_->native ? impl_->native->memory() : 0);
}

void Model::evaluate(const Request &request, Result &result, bool forces)
{
  impl_->evaluate(request, result, forces, impl_->symmetry);
}

void Model::Impl::run_torch(const Request &request, Result &result, bool forces, const Symmetry &wanted)
{
  if (!forces && wanted.mode == Symmetry::Mode::none) {
    copy_out(program().energies(inputs(request)), result.energies);
    result.forces.clear();
    return;
  }
  const Output output = run(request, wanted);
  copy_out(output.energies, result.energies);
  copy_out(output.forces, result.forces);
}

void Model::Impl::evaluate(const Request &request, Result &result, bool forces, const Symmetry &wanted)
{
  try {
    if (native) {
      run_native(request, result, forces, wanted);
    } else {
      check_apart(request.positions);
      run_torch(request, result, forces, wanted);
    }
  } catch (const Error &) {
    throw;
  } catch (const std::exception &problem) {
    rethrow(problem, native ? "The native kernels" : "torch");
  }
  require_finite(result.energies, 1, "an energy");
  require_finite(result.forces, 3, "a force");
  result.energy = std::accumulate(result.energies.begin(), result.energies.end(), 0.0);
}

void set_threads(int threads)
{
  at::set_num_threads(threads);
}

std::string torch_version()
{
  return TORCH_VERSION;
}

}  // namespace transip
