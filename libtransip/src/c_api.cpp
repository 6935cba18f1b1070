// The C API on top of transip::Model. No exception leaves it.
#include "transip.h"

#include "transip/error.h"
#include "transip/model.h"
#include "transip/neighbours.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using transip::Error;

struct transip_model {
  transip::Model model;
  std::string metadata, device, runs_by;
  std::shared_ptr<transip::Neighbours> neighbours{};  // of a local model; models that share them may have one
  transip::Result result{};
  std::vector<transip::Result> results{};  // of many structures
};

namespace {

/// Angstrom by which neighbours are sought beyond the cutoff, so that most steps of a run need no search.
constexpr double skin = 1.0;

thread_local std::string last_message;

transip_status failed(transip_status status, const char *message) noexcept
{
  try {
    last_message = message;
  } catch (const std::exception &) {
    // Without memory for the message its status has to do.
    last_message.clear();
  }
  return status;
}

template <typename Call>
transip_status guarded(Call &&call) noexcept
{
  try {
    call();
    return TRANSIP_OK;
  } catch (const transip::NotFinite &problem) {
    return failed(TRANSIP_NOT_FINITE, problem.what());
  } catch (const transip::Differs &problem) {
    return failed(TRANSIP_DIFFERS, problem.what());
  } catch (const Error &problem) {
    return failed(TRANSIP_INVALID, problem.what());
  } catch (const std::exception &problem) {
    return failed(TRANSIP_FAULT, problem.what());
  }
}

const char *or_auto(const char *value)
{
  return value && *value ? value : "auto";
}

void require(const void *value, const char *name)
{
  if (!value) throw Error(std::string(name) + " must not be NULL.");
}

void require_count(std::int64_t count, const char *name)
{
  if (count < 0 || count > (std::int64_t{1} << 40))
    throw Error(std::string(name) + " must be 0 or more, got " + std::to_string(count) + ".");
}

template <typename T>
std::span<const T> span_of(const T *values, std::int64_t count, const char *name)
{
  if (count > 0) require(values, name);
  return {values, static_cast<std::size_t>(count)};
}

void check_state(const transip::Model &model, std::span<const std::int64_t> species, int charge, int multiplicity)
{
  model.check_charge(charge, multiplicity);
  for (const std::int64_t number : species)
    model.check_species(static_cast<int>(std::clamp<std::int64_t>(number, -1, 1000)));
}

void check_finite(std::span<const double> positions)
{
  const auto bad = std::find_if_not(positions.begin(), positions.end(), [](double value) { return std::isfinite(value); });
  if (bad != positions.end())
    throw Error("Position of atom " + std::to_string((bad - positions.begin()) / 3) +
                " (counted from 0) is not finite (NaN or infinity).");
}

/// Hand out what is wanted of a result; `owner` adds the forces of rows up to their atoms if there is one.
void hand_out(const transip::Result &result, const transip::Request &request, const transip_result &wanted,
              std::span<const std::int64_t> owner)
{
  if (wanted.energy) *wanted.energy = result.energy;
  if (wanted.energies) std::copy(result.energies.begin(), result.energies.end(), wanted.energies);
  if (wanted.virial) {
    double virial[9] = {};
    for (std::size_t i = 0; i < result.forces.size(); i += 3)
      for (std::size_t a = 0; a < 3; a++)
        for (std::size_t b = 0; b < 3; b++) virial[3 * a + b] += request.positions[i + a] * result.forces[i + b];
    std::copy_n(virial, 9, wanted.virial);
  }
  if (wanted.virials) std::copy(result.virials.begin(), result.virials.end(), wanted.virials);
  if (!wanted.forces) return;
  if (owner.empty()) {
    std::copy(result.forces.begin(), result.forces.end(), wanted.forces);
    return;
  }
  std::fill_n(wanted.forces, 3 * request.species.size(), 0.0);
  for (std::size_t row = 0; row < owner.size(); row++)
    for (std::size_t a = 0; a < 3; a++)
      wanted.forces[3 * static_cast<std::size_t>(owner[row]) + a] += result.forces[3 * row + a];
}

void check_virial(const transip_model &model, const transip_result &wanted)
{
  if (wanted.virial && !model.model.metadata().conservative)
    throw Error("There is no virial of a model whose forces are not the gradient of its energy. Leave it out.");
}

/// Throw it with the number of the atom that the row belongs to.
[[noreturn]] void throw_for_atom(const transip::NotFinite &problem, std::size_t atom)
{
  throw transip::NotFinite(std::string(problem.what()) + ", for atom " + std::to_string(atom) +
                           " (counted from 0). Look for atoms on top of each other.", problem.row());
}

/// Evaluate a request and hand out what is wanted; `owner` adds the forces of rows up to their atoms if there is one.
void run(transip_model &model, transip::Request request, const transip_result &wanted,
         std::span<const std::int64_t> owner, double *distances = nullptr)
{
  request.distances = distances != nullptr;
  request.virials = wanted.virials != nullptr;
  check_virial(model, wanted);
  const bool forces = wanted.forces || wanted.virial || wanted.virials;
  transip::Result &result = model.result;
  try {
    model.model.evaluate(request, result, forces);
  } catch (const transip::NotFinite &problem) {
    throw_for_atom(problem, owner.empty() ? problem.row() : static_cast<std::size_t>(owner[problem.row()]));
  }
  if (distances) std::copy(result.distances.begin(), result.distances.end(), distances);
  hand_out(result, request, wanted, owner);
}

/// What a transip_structure and a transip_rows have in common: elements and positions of so many tokens and rows, and the
/// state.
template <typename Input>
transip::Request request_of(const transip_model &model, const Input &input, std::int64_t tokens, std::int64_t rows)
{
  transip::Request request;
  request.species = span_of(input.species, tokens, "species");
  request.positions = span_of(input.positions, 3 * rows, "positions");
  request.charge = input.charge;
  request.multiplicity = input.multiplicity;
  request.step = input.step;
  check_state(model.model, request.species, request.charge, request.multiplicity);
  check_finite(request.positions);
  return request;
}

/// A cell, and along which of its vectors a structure is periodic.
struct Cell {
  std::array<double, 9> vectors{};
  std::array<bool, 3> periodic{};
};

/// The cell of a structure, as far as it has one. Throws Error: a periodic structure without one, or not of numbers.
Cell cell_of(const transip_structure &structure)
{
  Cell cell;
  for (std::size_t a = 0; a < 3; a++) cell.periodic[a] = structure.periodic[a] != 0;
  if (std::ranges::find(cell.periodic, true) == cell.periodic.end()) return cell;
  require(structure.cell, "cell of a periodic structure");
  std::copy_n(structure.cell, 9, cell.vectors.begin());
  if (!std::ranges::all_of(cell.vectors, [](double value) { return std::isfinite(value); }))
    throw Error("The cell holds values that are not finite (NaN or infinity).");
  return cell;
}

/// A structure for what finds its neighbours itself.
transip::StructureRequest whole_structure(const transip::Request &atoms, const Cell &cell, const transip_result &wanted)
{
  transip::StructureRequest request;
  request.species = atoms.species;
  request.positions = atoms.positions;
  request.box = cell.vectors;
  request.periodic = cell.periodic;
  request.charge = atoms.charge;
  request.multiplicity = atoms.multiplicity;
  request.forces = wanted.forces || wanted.virial || wanted.virials;
  request.virial = wanted.virial != nullptr;
  request.virials = wanted.virials != nullptr;
  request.energies = wanted.energies != nullptr;
  return request;
}

void hand_out(const transip::StructureResult &result, const transip_result &wanted)
{
  if (wanted.energy) *wanted.energy = result.energy;
  if (wanted.energies) std::copy(result.energies.begin(), result.energies.end(), wanted.energies);
  if (wanted.forces) std::copy(result.forces.begin(), result.forces.end(), wanted.forces);
  if (wanted.virial) std::copy(result.virial.begin(), result.virial.end(), wanted.virial);
  if (wanted.virials) std::copy(result.virials.begin(), result.virials.end(), wanted.virials);
}

void evaluate_whole(transip_model &model, const transip::StructureRequest &request, const transip_result &wanted)
{
  transip::StructureResult result;
  try {
    model.model.evaluate_structure(request, result);
  } catch (const transip::NotFinite &problem) {
    throw_for_atom(problem, problem.row());
  }
  hand_out(result, wanted);
}

void check_isolated(const transip_model &model, const transip_structure &structure)
{
  const int *along = structure.periodic;
  if (!model.neighbours && (along[0] || along[1] || along[2]))
    throw Error("The structure is periodic, and this model attends all-to-all: it describes isolated molecules only. "
                "Set periodic to zeros, or use a model with a cutoff.");
}

/// geometry: see transip::Request.
void evaluate(transip_model &model, const transip_structure &structure, const transip_result &wanted,
              double *distances = nullptr, std::uint64_t geometry = 0)
{
  require_count(structure.atoms, "atoms");
  transip::Request request = request_of(model, structure, structure.atoms, structure.atoms);
  request.geometry = geometry;
  check_isolated(model, structure);
  const Cell cell = cell_of(structure);
  if (model.model.evaluates_structures() && !distances) {
    evaluate_whole(model, whole_structure(request, cell, wanted), wanted);
    return;
  }
  if (!model.neighbours) {
    run(model, request, wanted, {}, distances);
    return;
  }
  model.neighbours->find(request.positions, cell.vectors, cell.periodic, model.model.workers());
  request.positions = model.neighbours->positions;
  request.owner = model.neighbours->owner;
  request.first = model.neighbours->first;
  request.neighbours = model.neighbours->neighbours;
  run(model, request, wanted, request.owner, distances);
}

/// Call what has to do with one of many structures; its number goes before what it throws.
template <typename Call> void for_structure(std::size_t number, Call &&call)
{
  const std::string start = "Structure " + std::to_string(number) + " (counted from 0): ";
  try {
    call();
  } catch (const transip::NotFinite &problem) {
    throw transip::NotFinite(start + problem.what(), problem.row());
  } catch (const Error &problem) {
    throw Error(start + problem.what());
  }
}

/// Evaluate structures of a model with a cutoff, by what finds their neighbours itself and together.
void evaluate_whole_together(transip_model &model, std::span<const transip_structure> structures,
                             std::span<const transip_result> wanted)
{
  std::vector<transip::StructureRequest> requests;
  for (std::size_t k = 0; k < structures.size(); k++)
    for_structure(k, [&] {
      require_count(structures[k].atoms, "atoms");
      const transip::Request atoms = request_of(model, structures[k], structures[k].atoms, structures[k].atoms);
      requests.push_back(whole_structure(atoms, cell_of(structures[k]), wanted[k]));
    });
  std::vector<transip::StructureResult> results;
  try {
    model.model.evaluate_structures(requests, results);
  } catch (const transip::NotFinite &problem) {
    throw_for_atom(problem, problem.row());
  }
  for (std::size_t k = 0; k < results.size(); k++) hand_out(results[k], wanted[k]);
}

/// Structures go to the model together where it can take them so: isolated molecules of an all-to-all model, and structures
/// whose neighbours it finds itself. Others one after another.
void evaluate_many(transip_model &model, std::span<const transip_structure> structures,
                   std::span<const transip_result> wanted)
{
  if (model.neighbours && model.model.evaluates_structures()) {
    evaluate_whole_together(model, structures, wanted);
    return;
  }
  if (model.neighbours) {
    for (std::size_t k = 0; k < structures.size(); k++)
      for_structure(k, [&] { evaluate(model, structures[k], wanted[k]); });
    return;
  }
  std::vector<transip::Request> requests;
  bool forces = false;
  for (std::size_t k = 0; k < structures.size(); k++)
    for_structure(k, [&] {
      require_count(structures[k].atoms, "atoms");
      requests.push_back(request_of(model, structures[k], structures[k].atoms, structures[k].atoms));
      check_isolated(model, structures[k]);
      requests.back().virials = wanted[k].virials != nullptr;
      check_virial(model, wanted[k]);
      forces = forces || wanted[k].forces || wanted[k].virial || wanted[k].virials;
    });
  try {
    model.model.evaluate_many(requests, model.results, forces);
  } catch (const transip::NotFinite &problem) {
    throw_for_atom(problem, problem.row());
  }
  for (std::size_t k = 0; k < requests.size(); k++) hand_out(model.results[k], requests[k], wanted[k], {});
}

/// Evaluate structures whose arrays are on the device, one after the other in those of `all`; atoms: of each.
void evaluate_on_device(transip_model &model, std::span<const std::int64_t> atoms, const transip_structure &all,
                        const transip_result &wanted, void *stream)
{
  std::vector<std::size_t> counts;
  std::size_t count = 0;
  for (const std::int64_t one : atoms) {
    require_count(one, "atoms");
    counts.push_back(static_cast<std::size_t>(one));
    count += counts.back();
  }
  if (static_cast<std::int64_t>(count) != all.atoms)
    throw Error("Structures have " + std::to_string(count) + " atoms in all, and their arrays " + std::to_string(all.atoms) +
                ".");
  if (counts.empty()) return;
  check_virial(model, wanted);
  if (count > 0) {
    require(all.species, "species");
    require(all.positions, "positions");
  }
  transip::DeviceRequest request;
  request.atoms = counts;
  request.species = all.species;
  request.positions = all.positions;
  for (std::size_t a = 0; a < 3; a++) request.periodic[a] = all.periodic[a] != 0;
  if (std::ranges::find(request.periodic, true) != request.periodic.end()) {
    require(all.cell, "cell of a periodic structure");
    request.boxes = all.cell;
  }
  request.charge = all.charge;
  request.multiplicity = all.multiplicity;
  request.stream = stream;
  model.model.check_charge(request.charge, request.multiplicity);
  try {
    model.model.evaluate_on_device(request, {wanted.energy, wanted.energies, wanted.forces, wanted.virial, wanted.virials});
  } catch (const transip::NotFinite &problem) {
    throw_for_atom(problem, problem.row());
  }
}

void evaluate_rows(transip_model &model, const transip_rows &rows, const transip_result &wanted)
{
  require_count(rows.tokens, "tokens");
  require_count(rows.rows, "rows");
  transip::Request request = request_of(model, rows, rows.tokens, rows.rows);
  if (rows.owner) request.owner = span_of(rows.owner, rows.rows, "owner");
  if (rows.first) {
    request.first = span_of(rows.first, rows.tokens + 1, "first");
    require_count(request.first.back(), "the last of first");
    request.neighbours = span_of(rows.neighbours, request.first.back(), "neighbours");
  }
  run(model, request, wanted, {});
}

}  // namespace

int transip_interface(void)
{
  return TRANSIP_INTERFACE;
}

const char *transip_message(void)
{
  return last_message.c_str();
}

transip_status transip_load(const char *path, const transip_options *options, transip_model **model)
{
  return guarded([&] {
    require(model, "model");
    *model = nullptr;
    require(path, "path");
    const transip_options chosen = options ? *options : transip_options{};
    if (chosen.threads < 0) throw Error("threads must be 0 or more, got " + std::to_string(chosen.threads) + ".");
    transip::Model loaded(path, or_auto(chosen.device), 0, or_auto(chosen.kernels));
    if (chosen.threads > 0) loaded.set_threads(chosen.threads);
    if (!chosen.skip_check) loaded.check_reference();
    std::string text(loaded.metadata_text()), device = loaded.device(), runs_by = loaded.runs_by();
    auto made = std::make_unique<transip_model>(
        transip_model{std::move(loaded), std::move(text), std::move(device), std::move(runs_by)});
    if (const auto cutoff = made->model.metadata().cutoff) {
      using Reach = transip::Neighbours::Reach;
      made->neighbours =
          std::make_shared<transip::Neighbours>(*cutoff, skin, made->model.is_native() ? Reach::skin : Reach::cutoff);
    }
    *model = made.release();
  });
}

transip_status transip_check_reference(transip_model *model, int *compared)
{
  return guarded([&] {
    require(model, "model");
    const bool found = model->model.check_reference();
    if (compared) *compared = found;
  });
}

void transip_free(transip_model *model)
{
  delete model;
}

const char *transip_metadata(const transip_model *model)
{
  return model ? model->metadata.c_str() : "";
}

double transip_cutoff(const transip_model *model)
{
  return model ? model->model.metadata().cutoff.value_or(0.0) : 0.0;
}

const char *transip_device(const transip_model *model)
{
  return model ? model->device.c_str() : "";
}

const char *transip_runs_by(const transip_model *model)
{
  return model ? model->runs_by.c_str() : "";
}

const char *transip_notice(const transip_model *model)
{
  return model ? model->model.notice().c_str() : "";
}

transip_status transip_set_threads(transip_model *model, int threads)
{
  return guarded([&] {
    require(model, "model");
    if (threads < 1) throw Error("threads must be 1 or more, got " + std::to_string(threads) + ".");
    model->model.set_threads(threads);
  });
}

transip_status transip_set_symmetry(transip_model *model, const char *symmetry)
{
  return guarded([&] {
    require(model, "model");
    require(symmetry, "symmetry");
    model->model.set_symmetry(transip::Symmetry::parse(symmetry));
  });
}

transip_status transip_set_reference(transip_model *model, int64_t atoms, const int64_t *species, const double *positions)
{
  return guarded([&] {
    require(model, "model");
    require_count(atoms, "atoms");
    model->model.set_reference(span_of(species, atoms, "species"), span_of(positions, 3 * atoms, "positions"));
  });
}

transip_status transip_evaluate(transip_model *model, const transip_structure *structure, const transip_result *result)
{
  return transip_evaluate_with_distances(model, structure, result, nullptr);
}

transip_status transip_evaluate_with_distances(transip_model *model, const transip_structure *structure,
                                               const transip_result *result, double *distances)
{
  return guarded([&] {
    require(model, "model");
    require(structure, "structure");
    require(result, "result");
    evaluate(*model, *structure, *result, distances);
  });
}

transip_status transip_evaluate_rows(transip_model *model, const transip_rows *rows, const transip_result *result)
{
  return guarded([&] {
    require(model, "model");
    require(rows, "rows");
    require(result, "result");
    evaluate_rows(*model, *rows, *result);
  });
}

transip_status transip_evaluate_many(transip_model *model, int64_t count, const transip_structure *structures,
                                     const transip_result *results)
{
  return guarded([&] {
    require(model, "model");
    require_count(count, "count");
    evaluate_many(*model, span_of(structures, count, "structures"), span_of(results, count, "results"));
  });
}

transip_status transip_evaluate_on_device(transip_model *model, const transip_structure *structure,
                                          const transip_result *result, void *stream)
{
  return guarded([&] {
    require(model, "model");
    require(structure, "structure");
    require(result, "result");
    evaluate_on_device(*model, {&structure->atoms, 1}, *structure, *result, stream);
  });
}

transip_status transip_evaluate_batch_on_device(transip_model *model, int64_t structures, const int64_t *atoms,
                                                const transip_structure *all, const transip_result *result, void *stream)
{
  return guarded([&] {
    require(model, "model");
    require(all, "all");
    require(result, "result");
    require_count(structures, "structures");
    evaluate_on_device(*model, span_of(atoms, structures, "atoms"), *all, *result, stream);
  });
}

transip_status transip_device_allocate(transip_model *model, int64_t bytes, void **memory)
{
  return guarded([&] {
    require(model, "model");
    require(memory, "memory");
    *memory = nullptr;
    require_count(bytes, "bytes");
    *memory = model->model.allocate_on_device(static_cast<std::size_t>(bytes));
  });
}

void transip_device_free(transip_model *model, void *memory)
{
  if (model && memory) model->model.free_on_device(memory);
}

transip_status transip_distances(transip_model *model, const transip_structure *structure, double *distances)
{
  return guarded([&] {
    require(model, "model");
    require(structure, "structure");
    require(distances, "distances");
    evaluate(*model, *structure, {}, distances);
  });
}

namespace {

bool share_neighbours(transip_model &model, transip_model &first)
{
  if (!model.model.share_neighbours(first.model)) return false;
  if (model.neighbours && first.neighbours && transip_cutoff(&model) == transip_cutoff(&first))
    model.neighbours = first.neighbours;
  return true;
}

}  // namespace

transip_status transip_share_neighbours(transip_model *model, transip_model *first, int *shared)
{
  return guarded([&] {
    require(model, "model");
    require(first, "first");
    const bool done = share_neighbours(*model, *first);
    if (shared) *shared = done;
  });
}

struct transip_committee {
  std::vector<std::unique_ptr<transip_model>> models;
  std::uint64_t geometries = 0;  // that were evaluated
};

namespace {

/// Throw the error that a function of this interface reported.
void require_done(transip_status status)
{
  const std::string message = last_message;
  if (status == TRANSIP_NOT_FINITE) throw transip::NotFinite(message, 0);
  if (status == TRANSIP_DIFFERS) throw transip::Differs(message);
  if (status == TRANSIP_INVALID) throw Error(message);
  if (status != TRANSIP_OK) throw std::runtime_error(message);
}

/// What the models of a committee give for one structure.
struct Evaluations {
  std::vector<double> energies;                                // [K]
  std::vector<std::vector<double>> forces, virials;            // [K][N*3], [K][9]
};

double mean(const std::vector<std::vector<double>> &values, std::size_t place)
{
  double sum = 0.0;
  for (const std::vector<double> &one : values) sum += one[place];
  return sum / static_cast<double>(values.size());
}

void give(const Evaluations &found, std::size_t atoms, const transip_committee_result &wanted)
{
  const double share = 1.0 / static_cast<double>(found.energies.size());
  double energy = 0.0, squared = 0.0;
  for (const double one : found.energies) energy += share * one;
  for (const double one : found.energies) squared += share * (one - energy) * (one - energy);
  if (wanted.energy) *wanted.energy = energy;
  if (wanted.energy_std) *wanted.energy_std = std::sqrt(squared);
  if (wanted.energies) std::copy(found.energies.begin(), found.energies.end(), wanted.energies);
  for (std::size_t i = 0; wanted.virial && i < 9; i++) wanted.virial[i] = mean(found.virials, i);
  for (std::size_t i = 0; wanted.forces && i < 3 * atoms; i++) wanted.forces[i] = mean(found.forces, i);
  for (std::size_t atom = 0; wanted.deviations && atom < atoms; atom++) {
    double variance = 0.0;
    for (std::size_t i = 3 * atom; i < 3 * atom + 3; i++) {
      const double middle = mean(found.forces, i);
      for (const std::vector<double> &one : found.forces) variance += share * (one[i] - middle) * (one[i] - middle);
    }
    wanted.deviations[atom] = std::sqrt(variance);
  }
}

}  // namespace

transip_status transip_load_committee(int count, const char *const *paths, const transip_options *options,
                                      transip_committee **committee)
{
  return guarded([&] {
    require(committee, "committee");
    *committee = nullptr;
    auto made = std::make_unique<transip_committee>();
    for (int i = 0; i < count; i++) {
      require(paths, "paths");
      require(paths[i], "a path");
      for (const std::string &name : transip::models_in(paths[i])) {
        transip_model *model = nullptr;
        require_done(transip_load(name.c_str(), options, &model));
        std::unique_ptr<transip_model> owned(model);
        if (!made->models.empty()) share_neighbours(*model, *made->models.front());
        made->models.push_back(std::move(owned));
      }
    }
    if (made->models.size() < 2)
      throw Error("A committee is two models or more; got " + std::to_string(made->models.size()) + ".");
    *committee = made.release();
  });
}

void transip_free_committee(transip_committee *committee)
{
  delete committee;
}

int transip_committee_count(const transip_committee *committee)
{
  return committee ? static_cast<int>(committee->models.size()) : 0;
}

transip_model *transip_committee_model(transip_committee *committee, int number)
{
  return number >= 0 && number < transip_committee_count(committee)
             ? committee->models[static_cast<std::size_t>(number)].get()
             : nullptr;
}

transip_status transip_evaluate_committee(transip_committee *committee, const transip_structure *structure,
                                          const transip_committee_result *result)
{
  return guarded([&] {
    require(committee, "committee");
    require(structure, "structure");
    require(result, "result");
    require_count(structure->atoms, "atoms");
    const auto atoms = static_cast<std::size_t>(structure->atoms);
    Evaluations found;
    committee->geometries++;
    for (const std::unique_ptr<transip_model> &model : committee->models) {
      double energy = 0.0;
      std::vector<double> forces(3 * atoms), virial(9);
      const bool wants_forces = result->forces || result->deviations;
      const transip_result wanted{&energy, nullptr, wants_forces ? forces.data() : nullptr,
                                  result->virial ? virial.data() : nullptr, nullptr};
      evaluate(*model, *structure, wanted, nullptr, committee->geometries);
      found.energies.push_back(energy);
      found.forces.push_back(std::move(forces));
      found.virials.push_back(std::move(virial));
    }
    give(found, atoms, *result);
  });
}

int64_t transip_memory(const transip_model *model)
{
  return model ? model->model.memory() : 0;
}
