#include "transip/model.h"

#include "cuda/device_source.h"
#include "evaluate/cuda_evaluator.h"
#include "evaluate/native_evaluator.h"
#include "evaluate/symmetrised.h"
#include "evaluate/torch_evaluator.h"
#include "evaluate/torch_library.h"
#include "modelfile/archive.h"
#include "modelfile/committee_file.h"
#include "modelfile/layout.h"
#include "modelfile/reference.h"
#include "modelfile/reference_box.h"
#include "modelfile/weights.h"
#include "symmetry/symmetry_tables.h"
#include "transip/elements.h"
#include "transip/error.h"
#include "transip/tolerances.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <numeric>
#include <optional>
#include <sstream>

namespace transip {

/// The metadata of a file, before anything else is looked at.
struct Card {
  std::string text;                    ///< of transip.json
  Metadata metadata;
  bool compiled = false;               ///< the file holds compiled code, not TorchScript
  std::optional<Reference> reference;  ///< if the file brings one
};

namespace {

/// Multiple of a model's own rounding by which two evaluations of a structure may differ: either side has some, and on a
/// single structure up to twice the largest of the few that were looked at when it was measured.
constexpr double of_rounding = 4.0;

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
  Card card;
  card.text.assign(text.begin(), text.end());
  card.metadata = parse_metadata(card.text, path);
  card.compiled = is_compiled(archive);
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

/// N of "cuda:N"; -1 for "cuda". None: the name is another.
std::optional<int> cuda_index(const std::string &name)
{
  if (name == "cuda") return -1;
  constexpr std::string_view start = "cuda:";
  int index = 0;
  const char *end = name.data() + name.size();
  if (!name.starts_with(start) || name.size() == start.size()) return std::nullopt;
  const auto [stop, problem] = std::from_chars(name.data() + start.size(), end, index);
  return problem == std::errc() && stop == end && index >= 0 ? std::optional(index) : std::nullopt;
}

/// Number of CUDA devices: that torch sees, or the driver if torch is not what evaluates there.
int cuda_devices(const std::string &kernels)
{
  if (kernels == "native") return cuda::device_source().count();
  return driver_devices() == 0 ? 0 : torch_devices();
}

/// "cpu" or "cuda:N" of what is asked for; without a driver native kernels run on the CPU. Processes that share a node
/// share out its CUDA devices by their number there.
std::string choose_device(const std::string &asked, int node_rank, const std::string &kernels)
{
  // Native kernels are the CPU's unless a CUDA device is asked for.
  if (asked == "cpu" || (asked == "auto" && kernels == "native")) return "cpu";
  if (asked == "auto") {
    int count = 0;
    try {
      count = cuda_devices(kernels);
    } catch (const Error &) {
      // Without a torch that can use the device the CPU is what there is.
    }
    return count > 0 ? "cuda:" + std::to_string(node_rank % count) : "cpu";
  }
  const std::optional<int> wanted = cuda_index(asked);
  if (!wanted) throw Error("device must be auto, cpu, cuda or cuda:N, got '" + asked + "'.");
  const int count = cuda_devices(kernels);
  if (count == 0 && kernels == "native") return "cpu";
  const int index = *wanted >= 0 ? *wanted : (count > 0 ? node_rank % count : 0);
  if (index >= count)
    throw Error("device '" + asked + "' was asked for, but " +
                (driver_devices() > 0 && kernels != "native" ? "torch " + torch_version() + " sees "
                                                             : "NVIDIA's driver is not here or sees ") +
                std::to_string(count) + " CUDA devices. Use device cpu, or install a CUDA build of torch and type "
                "`transip-md build torch`.");
  return "cuda:" + std::to_string(index);
}

/// Throw NotFinite for the first value that is NaN or infinite; `stride` values belong to a row.
void require_finite(std::span<const double> values, std::size_t stride, const char *what)
{
  const auto bad = std::find_if_not(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
  if (bad == values.end()) return;
  throw NotFinite(std::string("The model gave ") + what + " that is not finite (NaN or infinity)",
                  static_cast<std::size_t>(bad - values.begin()) / stride);
}

/// Throw NotFinite unless all numbers of a structure's result are.
void require_finite(const StructureResult &result)
{
  require_finite({&result.energy, 1}, 1, "an energy");
  require_finite(result.energies, 1, "an energy");
  require_finite(result.forces, 3, "a force");
  require_finite(result.virial, 9, "a virial");
  require_finite(result.virials, 9, "a virial");
}

/// What is not finite in one of several structures.
NotFinite in_structure(const NotFinite &problem, std::size_t structure, std::size_t row)
{
  return NotFinite(std::string(problem.what()) + ", in structure " + std::to_string(structure) + " (counted from 0)", row);
}

/// Likewise, of a problem whose row counts the atoms of several structures, so many of each.
NotFinite in_structure_of(const NotFinite &problem, std::span<const std::size_t> atoms)
{
  std::size_t structure = 0, row = problem.row();
  while (structure + 1 < atoms.size() && row >= atoms[structure]) row -= atoms[structure++];
  return in_structure(problem, structure, row);
}

/// Call an evaluator; what is thrown and is none of the library's own errors becomes one that names the evaluator.
template <typename Call> void by_evaluator(const Evaluator &evaluator, Call &&call)
{
  try {
    call();
  } catch (const Error &) {
    throw;
  } catch (const std::exception &problem) {
    throw Error(evaluator.name() + " could not evaluate the model: " + problem.what());
  }
}

/// Call an evaluator for several structures together; what is not finite names its structure.
template <typename Requests, typename Call>
void by_evaluator_together(const Evaluator &evaluator, const Requests &requests, Call &&call)
{
  try {
    by_evaluator(evaluator, call);
  } catch (const NotFinite &problem) {
    std::vector<std::size_t> atoms;
    for (const auto &request : requests) atoms.push_back(request.species.size());
    throw in_structure_of(problem, atoms);
  }
}

/// Call for each of several structures by its number; what is not finite names its structure.
template <typename Call> void for_structures(std::size_t count, Call &&call)
{
  for (std::size_t k = 0; k < count; k++) {
    try {
      call(k);
    } catch (const NotFinite &problem) {
      throw in_structure(problem, k, problem.row());
    }
  }
}

void require_shape(bool fits, const char *name, std::size_t size)
{
  if (!fits) throw Error(std::string("A request to the model has ") + name + " of size " + std::to_string(size) + ".");
}

/// Throw unless all arrays of a request fit together.
void check_shapes(const Request &request)
{
  const std::size_t tokens = request.species.size(), rows = request.positions.size() / 3;
  require_shape(request.positions.size() == 3 * rows && rows >= tokens, "positions", request.positions.size());
  require_shape(request.owner.size() == rows || (request.owner.empty() && rows == tokens), "owner", request.owner.size());
  require_shape(request.owned.empty() || request.owned.size() == tokens, "owned", request.owned.size());
  if (request.first.empty()) {
    require_shape(request.neighbours.empty(), "neighbours", request.neighbours.size());
    return;
  }
  require_shape(request.first.size() == tokens + 1, "first", request.first.size());
  const bool rises = std::is_sorted(request.first.begin(), request.first.end()) && request.first[0] == 0;
  require_shape(rises && request.first.back() == static_cast<std::int64_t>(request.neighbours.size()), "neighbours",
                request.neighbours.size());
}

/// The kernels that are asked for, by the environment where the caller leaves it open.
std::string kernels_name(const std::string &asked)
{
  const char *preset = std::getenv("TRANSIP_KERNELS");
  const std::string name = asked == "auto" && preset && *preset ? preset : asked;
  if (name != "auto" && name != "native" && name != "torch")
    throw Error("kernels must be auto, native or torch; got '" + name + "'" +
                (name == asked ? "." : " in the environment variable TRANSIP_KERNELS."));
  return name;
}

}  // namespace

struct Model::Impl {
  Archive archive;
  Card card;
  std::string notice{};
  std::unique_ptr<Evaluator> evaluator{};
  std::optional<SymmetryTables> tables{};
  std::optional<Symmetrised> symmetrised{};

  void make_evaluator(const std::string &device, const std::string &kernels);
  const SymmetryTables &symmetry_tables();
  void check_lists(const Reference &wanted, const ReferenceState &state);
  void check_structure(const Reference &wanted, const ReferenceBox &box, const ReferenceState &state);
  void compare(const ReferenceState &state, double got_energy, std::span<const double> got_forces,
               std::span<const double> forces) const;
  void evaluate(Symmetrised &by, const Request &request, Result &result, bool forces);
  static void finish(Result &result);
};

/// Native kernels where they are wanted and know the network, else torch.
void Model::Impl::make_evaluator(const std::string &device, const std::string &kernels)
{
  const Metadata &metadata = card.metadata;
  const bool known = kernels != "torch" && !card.compiled && metadata.architecture && metadata.conservative;
  const bool native = known && device == "cpu";
  if (metadata.format >= 2 && !card.compiled) {
    Weights weights(archive, metadata);
    tables = SymmetryTables::from(weights);
    // CUDA kernels of the project's own are used where they are asked for by name.
    if (native)
      evaluator = NativeEvaluator::make(std::move(weights), metadata);
    else if (known && kernels == "native")
      evaluator = CudaEvaluator::make(std::move(weights), metadata, cuda_index(device).value());
    if (evaluator) return;
  }
  auto torch = std::make_unique<TorchEvaluator>(archive, device, kernels != "torch" && !metadata.cutoff);
  if (native && metadata.format < 2 && torch->native_network()) {
    Weights weights = torch->tensors();
    tables = SymmetryTables::from(weights);
    evaluator = NativeEvaluator::make(std::move(weights), metadata);
  }
  if (!evaluator) evaluator = std::move(torch);
  if (kernels == "native" && dynamic_cast<const TorchEvaluator *>(evaluator.get()))
    throw Error("There are no native kernels for " + archive.path() + ": they are for TransIP models in TorchScript files, "
                "with forces that are the gradient of the energy. Use kernels auto.");
}

/// Tables of the file's index, or of its TorchScript where it has none.
const SymmetryTables &Model::Impl::symmetry_tables()
{
  if (!tables)
    if (const auto *torch = dynamic_cast<const TorchEvaluator *>(evaluator.get()))
      tables = SymmetryTables::from(torch->tensors());
  if (!tables) throw Error(archive.path() + " has no tables of rotations. Export the model again.");
  return *tables;
}

Model::Model(const std::string &path, const std::string &device, int node_rank, const std::string &kernels)
try {
  const std::string wanted = kernels_name(kernels);
  Archive archive = open_model(path);
  Card card = read_card(archive);
  const std::string chosen = choose_device(device_name(device, card, path), node_rank, wanted);
  impl_.reset(new Impl{std::move(archive), std::move(card)});
  impl_->make_evaluator(chosen, wanted);
  if (chosen == "cpu" && device.starts_with("cuda"))
    impl_->notice = "Device " + device + " was asked for, but NVIDIA's driver is not here or sees no CUDA devices: " + path +
                    " is evaluated on the CPU.";
  impl_->symmetrised.emplace(*impl_->evaluator);
} catch (const Error &) {
  throw;
} catch (const std::exception &problem) {
  // Memory that is not there, or what a damaged file makes of the standard library.
  throw Error(path + " could not be loaded: " + problem.what());
}

Model::~Model() = default;
Model::Model(Model &&) noexcept = default;
Model &Model::operator=(Model &&) noexcept = default;

const Metadata &Model::metadata() const
{
  return impl_->card.metadata;
}

std::string_view Model::metadata_text() const
{
  return impl_->card.text;
}

void Model::set_threads(int threads)
{
  impl_->evaluator->set_threads(threads);
}

native::Workers *Model::workers() const
{
  return impl_->evaluator->workers();
}

std::string Model::device() const
{
  return impl_->evaluator->device();
}

std::string Model::runs_by() const
{
  return impl_->evaluator->name();
}

const std::string &Model::notice() const
{
  return impl_->notice;
}

bool Model::is_native() const
{
  return dynamic_cast<const NativeEvaluator *>(impl_->evaluator.get()) != nullptr;
}

std::unique_ptr<cuda::Dynamics> Model::make_dynamics(cuda::Device &device) const
{
  const auto *by_kernels = dynamic_cast<const CudaEvaluator *>(impl_->evaluator.get());
  return by_kernels ? by_kernels->make_dynamics(device) : nullptr;
}

bool Model::exchanges_halo() const
{
  return impl_->evaluator->exchanges_halo();
}

void Model::check_charge(int charge, int multiplicity) const
{
  const Metadata &known = impl_->card.metadata;
  if (!known.charge.contains(charge))
    throw Error("The model knows charge " + known.charge.text() + "; got charge " + std::to_string(charge) + ".");
  if (!known.multiplicity.contains(multiplicity))
    throw Error("The model knows multiplicity " + known.multiplicity.text() + "; got multiplicity " +
                std::to_string(multiplicity) + ".");
}

void Model::check_distances() const
{
  const std::string &path = impl_->archive.path();
  if (!impl_->card.metadata.has_sample())
    throw Error(path + " has no sample of its training set, from which distances are measured. Add one to its checkpoint, "
                "`transip-md guard CHECKPOINT --data FRAMES -o guarded.ckpt`, and export that.");
  if (!impl_->evaluator->gives_distances())
    throw Error("Distances from the training set are measured by native kernels on the CPU, and " + path + " is evaluated by " +
                impl_->evaluator->name() + ". Take device cpu and kernels native.");
}

void Model::check_species(int atomic_number) const
{
  if (!impl_->card.metadata.knows(atomic_number))
    throw Error("The model does not know " + symbol(atomic_number) + "; it was trained on " +
                symbols(impl_->card.metadata.species) + ".");
}

void Model::set_symmetry(const Symmetry &symmetry)
{
  if (symmetry.mode == Symmetry::Mode::none) return impl_->symmetrised->clear();
  const std::vector<std::string> &offered = impl_->card.metadata.symmetry;
  const std::string &path = impl_->archive.path();
  if (offered.empty())
    throw Error(path + " offers no symmetry: it was exported before there was any. Export it anew: `transip-md export "
                "CHECKPOINT -o " + path + "`.");
  if (std::find(offered.begin(), offered.end(), symmetry.name()) == offered.end()) {
    std::string list;
    for (const std::string &name : offered) list += (list.empty() ? "" : ", ") + name;
    throw Error(path + " offers symmetry " + list + "; got " + symmetry.name() +
                ". The frame is for isolated molecules: models without a cutoff whose forces are the gradient of their "
                "energy.");
  }
  impl_->symmetrised->set(symmetry, impl_->symmetry_tables());
}

const Symmetry &Model::symmetry() const
{
  return impl_->symmetrised->symmetry();
}

bool Model::needs_reference() const
{
  return impl_->symmetrised->needs_reference();
}

void Model::set_reference(std::span<const std::int64_t> species, std::span<const double> positions)
{
  require_shape(positions.size() == 3 * species.size(), "positions", positions.size());
  impl_->symmetrised->set_reference(species, positions, impl_->symmetry_tables());
}

bool Model::has_reference() const
{
  return impl_->card.reference.has_value();
}

bool Model::check_reference(bool own_search)
{
  if (!impl_->card.reference) return false;
  const Reference &wanted = *impl_->card.reference;
  const std::optional<ReferenceBox> box = box_of(wanted);
  const bool by_structure = own_search && box && impl_->evaluator->evaluates_structures();
  for (const ReferenceState &state : wanted.states) {
    check_charge(state.charge, state.multiplicity);
    if (by_structure)
      impl_->check_structure(wanted, *box, state);
    else
      impl_->check_lists(wanted, state);
  }
  return true;
}

/// Compare with what the lists of the reference give.
void Model::Impl::check_lists(const Reference &wanted, const ReferenceState &state)
{
  Request request;
  request.species = wanted.species;
  request.positions = wanted.positions;
  request.owner = wanted.owner;
  request.first = wanted.first;
  request.neighbours = wanted.neighbours;
  request.charge = state.charge;
  request.multiplicity = state.multiplicity;
  Result got;
  Symmetrised as_it_is(*evaluator);
  evaluate(as_it_is, request, got, true);
  compare(state, got.energy, got.forces, state.forces);
}

/// Compare with what the evaluator gives that finds the neighbours itself: forces of images are their atoms'.
void Model::Impl::check_structure(const Reference &wanted, const ReferenceBox &box, const ReferenceState &state)
{
  StructureRequest request;
  request.species = wanted.species;
  request.positions = std::span(wanted.positions).first(3 * wanted.species.size());
  request.box = box.vectors;
  request.periodic = box.periodic;
  request.charge = state.charge;
  request.multiplicity = state.multiplicity;
  StructureResult got;
  evaluator->evaluate_structure(request, got);
  std::vector<double> forces(request.positions.size());
  for (std::size_t row = 0; row < wanted.owner.size(); row++)
    for (std::size_t x = 0; x < 3; x++)
      forces[3 * static_cast<std::size_t>(wanted.owner[row]) + x] += state.forces[3 * row + x];
  compare(state, got.energy, got.forces, forces);
}

void Model::Impl::compare(const ReferenceState &state, double got_energy, std::span<const double> got_forces,
                          std::span<const double> forces) const
{
  const Tolerance usual = parity(card.metadata.dtype);
  const Tolerance allowed{std::max(usual.energy, of_rounding * state.energy_rounding),
                          std::max(usual.force, of_rounding * state.force_rounding)};
  const double energy = std::abs(got_energy - state.energy);
  double force = got_forces.size() == forces.size() ? 0.0 : HUGE_VAL;
  for (std::size_t i = 0; i < std::min(forces.size(), got_forces.size()); i++)
    force = std::max(force, std::abs(got_forces[i] - forces[i]));
  if (energy <= allowed.energy && force <= allowed.force) return;
  const auto text = [](double value) {
    std::ostringstream stream;
    stream << value;
    return stream.str();
  };
  throw Differs(archive.path() + " does not give the numbers here that it gave where it was exported: the energy of its " +
              "reference structure differs by " + text(energy) + " eV (allowed " + text(allowed.energy) +
              "), forces by " + text(force) + " eV/A (allowed " + text(allowed.force) +
              "). Export the model again on this machine.");
}

std::int64_t Model::memory() const
{
  return static_cast<std::int64_t>(impl_->archive.bytes().size()) + impl_->evaluator->memory();
}

void Model::evaluate(const Request &request, Result &result, bool forces)
{
  if (request.distances) check_distances();
  impl_->evaluate(*impl_->symmetrised, request, result, forces);
}

bool Model::evaluates_structures() const
{
  return impl_->evaluator->evaluates_structures() && symmetry().mode == Symmetry::Mode::none;
}

void Model::evaluate_structure(const StructureRequest &request, StructureResult &result)
{
  if (!evaluates_structures()) throw Error(runs_by() + " does not find the neighbours of a structure.");
  require_shape(request.positions.size() == 3 * request.species.size(), "positions", request.positions.size());
  by_evaluator(*impl_->evaluator, [&] { impl_->evaluator->evaluate_structure(request, result); });
  require_finite(result);
}

void Model::evaluate_structures(std::span<const StructureRequest> requests, std::vector<StructureResult> &results)
{
  if (!evaluates_structures()) throw Error(runs_by() + " does not find the neighbours of structures.");
  for (const StructureRequest &request : requests)
    require_shape(request.positions.size() == 3 * request.species.size(), "positions", request.positions.size());
  results.resize(requests.size());
  by_evaluator_together(*impl_->evaluator, requests, [&] { impl_->evaluator->evaluate_structures(requests, results); });
  for_structures(results.size(), [&](std::size_t k) { require_finite(results[k]); });
}

void Model::evaluate_on_device(const DeviceRequest &request, const DeviceResult &result)
{
  if (impl_->evaluator->evaluates_structures() && !evaluates_structures())
    throw Error("Arrays on a device are evaluated without a symmetry; the model has symmetry " + symmetry().text() + ".");
  try {
    impl_->evaluator->evaluate_on_device(request, result);
  } catch (const NotFinite &problem) {
    if (request.atoms.size() == 1) throw;
    throw in_structure_of(problem, request.atoms);
  }
}

bool Model::share_neighbours(Model &first)
{
  return impl_->evaluator->share_neighbours(*first.impl_->evaluator);
}

void *Model::allocate_on_device(std::size_t bytes)
{
  return impl_->evaluator->allocate_on_device(bytes);
}

void Model::free_on_device(void *memory)
{
  impl_->evaluator->free_on_device(memory);
}

void Model::Impl::evaluate(Symmetrised &by, const Request &request, Result &result, bool forces)
{
  by_evaluator(*evaluator, [&] {
    check_shapes(request);
    result.virials.clear();
    result.distances.clear();
    by.evaluate(request, result, forces);
  });
  finish(result);
}

/// Add up the energies of a result that is finite.
void Model::Impl::finish(Result &result)
{
  require_finite(result.energies, 1, "an energy");
  require_finite(result.forces, 3, "a force");
  require_finite(result.virials, 9, "a virial");
  require_finite(result.distances, 1, "a distance from the training set");
  result.energy = std::accumulate(result.energies.begin(), result.energies.end(), 0.0);
}

void Model::evaluate_many(std::span<const Request> requests, std::vector<Result> &results, bool forces)
{
  results.resize(requests.size());
  const bool as_it_is = symmetry().mode == Symmetry::Mode::none;
  if (as_it_is) {
    for (std::size_t k = 0; k < requests.size(); k++) {
      check_shapes(requests[k]);
      results[k].virials.clear();
      results[k].distances.clear();
    }
    by_evaluator_together(*impl_->evaluator, requests,
                          [&] { impl_->evaluator->evaluate_many(requests, results, forces); });
  }
  for_structures(requests.size(), [&](std::size_t k) {
    if (as_it_is)
      impl_->finish(results[k]);
    else
      evaluate(requests[k], results[k], forces);
  });
}

}  // namespace transip
