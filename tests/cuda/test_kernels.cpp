// The CUDA kernels under the emulator: against the plain forward, array by array, and against the CPU's kernels.
//
// Usage: test_kernels [--few [--missing-barriers | --missing-row]] [MODEL STRUCTURE]...
// Without files, networks with random weights. Files are exported models, and structures as structures.h reads them.
// --few: two small cases, each evaluated once, for ThreadSanitizer; FEW_SHAPES are enough for them.
// --missing-barriers, --missing-row: the same with a planted fault, which ThreadSanitizer or the comparison must find.

#include "checks.h"
#include "cuda/cuda_model.h"
#include "cuda/file_network.h"
#include "cuda/lists.h"
#include "cuda/step_runner.h"
#include "emulated_device.h"
#include "emulated_kernels.h"
#include "emulator.h"
#include "cpu/native_model.h"
#include "cpu/network_reader.h"
#include "networks.h"
#include "plain_network.h"
#include "structures.h"
#include "transip/error.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <numeric>
#include <sstream>

namespace {

using checks::check;
using checks::check_error;
using transip::Result;

/// What arrays may differ by, as a part of the largest number in them.
double allowed(const std::string &dtype)
{
  return dtype == "float64" ? 1e-10 : 5e-6;
}

/// Largest difference over the largest number, or over `size` if that is larger; NaN if there is any.
template <typename Real> double difference(const Real *got, const std::vector<double> &wanted, double size = 0.0)
{
  double most = 0.0;
  for (std::size_t i = 0; i < wanted.size(); i++) {
    const double off = std::abs(static_cast<double>(got[i]) - wanted[i]);
    if (!(off <= most)) most = off;
    size = std::max(size, std::abs(wanted[i]));
  }
  return size > 0.0 ? most / size : most;
}

/// A case: what is compared, and the largest difference of each kind.
class Report {
 public:
  Report(const std::string &name, const std::string &dtype) : name_(name), bar_(allowed(dtype)) {}

  template <typename Real>
  void compare(const std::string &what, const Real *got, const std::vector<double> &wanted, double size = 0.0)
  {
    const double off = difference(got, wanted, size);
    check(off <= bar_, name_ + ": " + what + " differs by " + std::to_string(off / bar_) + " of what is allowed");
    if (!(off <= worst_)) {
      worst_ = off;
      where_ = what;
    }
  }
  void print() const
  {
    std::ostringstream line;
    line << "  " << name_ << ": largest difference " << worst_ << " (" << where_ << ")";
    std::cout << line.str() << '\n';
  }

 private:
  std::string name_, where_;
  double bar_, worst_ = -1.0;
};

/// The kernels' order of features: the two of a rotary pair side by side.
std::vector<double> by_pairs(const std::vector<double> &from, int width)
{
  std::vector<double> to(from.size());
  for (std::size_t i = 0; i < from.size(); i++) {
    const std::size_t within = i % width, head = i - within;
    to[i] = from[head + within % 2 * (width / 2) + within / 2];
  }
  return to;
}

/// Gates and values side by side, padded with zeros.
std::vector<double> by_gates(const std::vector<double> &from, int feedforward)
{
  const int padded = transip::cuda::padded_feedforward(feedforward);
  std::vector<double> to(from.size() / feedforward * padded);
  for (std::size_t t = 0; t < from.size() / (2 * feedforward); t++)
    for (int i = 0; i < feedforward; i++)
      for (int two = 0; two < 2; two++)
        to[(t * padded + i) * 2 + two] = from[t * 2 * feedforward + two * feedforward + i];
  return to;
}

std::vector<double> embedding(const TestNetwork &network, const TestStructure &structure)
{
  const auto &shape = *network.metadata.architecture;
  const auto &metadata = network.metadata;
  const auto kinds = static_cast<std::int64_t>(metadata.species.size());
  const auto count = [](const transip::Range &range) { return std::int64_t{range.highest} - range.lowest + 1; };
  const std::size_t dim = static_cast<std::size_t>(shape.dim), atoms = structure.species.size();
  const auto &species = network.weights.get("model.species_embedding.weight", {kinds, shape.dim});
  const auto &charge = network.weights.get("model.charge_embedding.weight", {count(metadata.charge), shape.dim});
  const auto &spin =
      network.weights.get("model.multiplicity_embedding.weight", {count(metadata.multiplicity), shape.dim});
  std::vector<double> tokens;
  for (std::size_t t = 0; t < atoms; t++)
    for (std::size_t i = 0; i < dim; i++) {
      const auto found = std::find(metadata.species.begin(), metadata.species.end(), structure.species[t]);
      double sum = species[static_cast<std::size_t>(found - metadata.species.begin()) * dim + i] +
                   charge[static_cast<std::size_t>(-metadata.charge.lowest) * dim + i] +
                   spin[static_cast<std::size_t>(1 - metadata.multiplicity.lowest) * dim + i];
      if (shape.coordinates) {
        const auto &weight = network.weights.get("model.coordinates.weight", {shape.dim, 3});
        for (std::size_t x = 0; x < 3; x++) {
          double mean = 0.0;
          for (std::size_t a = 0; a < atoms; a++) mean += structure.positions[3 * a + x] / static_cast<double>(atoms);
          sum += weight[3 * i + x] * (structure.positions[3 * t + x] - mean);
        }
      }
      tokens.push_back(sum);
    }
  return tokens;
}

/// Compare everything that the forward leaves in the arrays of a step.
template <typename Real>
void compare_arrays(Report &report, const TestNetwork &network, const TestStructure &structure,
                    const Neighbourhood &around, const transip::cuda::Step<Real> &step)
{
  const double cutoff = network.metadata.cutoff.value_or(0.0);
  transip::NetworkReader reader(network.weights, *network.metadata.architecture, cutoff);
  const auto table = reader.radial_table(sizeof(Real) == 4);
  const auto shape = reader.network();
  transip::cuda::Lists lists;
  lists.make(around.request(structure), around.positions, cutoff);
  const PlainInput input{embedding(network, structure), around.positions, lists.owner, lists.first, lists.row};
  const PlainStep truth =
      plain_step(shape, table ? table->pieces() : transip::native::RadialPieces{1.0, 0, nullptr}, input);
  const int width = shape.dim / shape.heads, gates = 2 * transip::cuda::padded_feedforward(shape.feedforward);
  const auto tokens = structure.species.size();
  const auto of_layer = [](const Real *array, int layer, int most, int stride) {
    return array + static_cast<std::size_t>(layer) * most * stride;
  };
  report.compare("distance", step.distance, truth.distance);
  for (int l = 0; l < shape.layers; l++) {
    const PlainLayer &layer = truth.layers[static_cast<std::size_t>(l)];
    const std::string of = " of layer " + std::to_string(l);
    const auto by_tokens = [&](const char *what, const Real *array, int stride, const std::vector<double> &wanted) {
      report.compare(what + of, of_layer(array, l, step.most_tokens, stride), wanted);
    };
    std::vector<double> phase;
    for (std::size_t i = 0; i < tokens * static_cast<std::size_t>(shape.dim / 2); i++)
      phase.insert(phase.end(), {layer.cosine[i], layer.sine[i]});
    report.compare("phase" + of, of_layer(step.phase, l, step.most_rows, shape.dim), phase);
    by_tokens("normal_one", step.normal_one, shape.dim, layer.normal_one);
    by_tokens("deviation_one", step.deviation_one, 1, layer.deviation_one);
    by_tokens("query", step.query, shape.dim, by_pairs(layer.query, width));
    report.compare("key" + of, of_layer(step.key, l, step.most_rows, shape.dim), by_pairs(layer.key, width));
    report.compare("value" + of, of_layer(step.value, l, step.most_rows, shape.dim), by_pairs(layer.value, width));
    by_tokens("mixed", step.mixed, shape.dim, by_pairs(layer.mixed, width));
    by_tokens("lse", step.lse, shape.heads, layer.lse);
    by_tokens("normal_two", step.normal_two, shape.dim, layer.normal_two);
    by_tokens("deviation_two", step.deviation_two, 1, layer.deviation_two);
    by_tokens("gate", step.gate, gates, by_gates(layer.gate, shape.feedforward));
  }
  report.compare("token", step.token, truth.tokens);
  report.compare("normal_last", step.normal_last, truth.normal_last);
  report.compare("deviation_last", step.deviation_last, truth.deviation_last);
  report.compare("hidden", step.hidden, truth.hidden);
}

/// Energy without what the elements have by themselves, so that the comparison is about the network, and forces.
void compare_results(Report &report, const TestNetwork &network, const TestStructure &structure, const Result &got,
                     const std::vector<double> &energies, const std::vector<double> &forces)
{
  const auto &reference = network.weights.get("model.reference_energies",
                                              {static_cast<std::int64_t>(network.metadata.species.size())});
  std::vector<double> bare_got, bare;
  double sum = 0.0;
  for (std::size_t t = 0; t < energies.size(); t++) {
    const auto &species = network.metadata.species;
    const double own =
        reference[static_cast<std::size_t>(std::find(species.begin(), species.end(), structure.species[t]) - species.begin())];
    bare_got.push_back(got.energies[t] - own);
    bare.push_back(energies[t] - own);
    sum += got.energies[t];
  }
  report.compare("energies", bare_got.data(), bare);
  check(std::abs(got.energy - sum) <= 1e-12 * (1.0 + std::abs(sum)), "the sum of the energies");
  if (forces.size() != got.forces.size()) {
    check(false, "number of forces");
    return;
  }
  // Of one atom they are zero to rounding.
  report.compare("forces", got.forces.data(), forces, 1.0);
}

bool same_bits(const std::vector<double> &a, const std::vector<double> &b)
{
  return std::ranges::equal(a, b, {}, [](double x) { return std::bit_cast<std::uint64_t>(x); },
                            [](double x) { return std::bit_cast<std::uint64_t>(x); });
}

/// Derivative of the plain energy along a few directions against the forces, where the CPU has no kernels to compare.
void compare_differences(const TestNetwork &network, const TestStructure &structure, const Neighbourhood &around,
                         const Result &got)
{
  const double cutoff = network.metadata.cutoff.value_or(0.0), scale = network.weights.get("model.energy_scale", {})[0];
  transip::NetworkReader reader(network.weights, *network.metadata.architecture, cutoff);
  const auto table = reader.radial_table(false);
  const auto shape = reader.network();
  transip::cuda::Lists lists;
  lists.make(around.request(structure), around.positions, cutoff);
  for (unsigned direction = 1; direction <= 2; direction++) {
    const auto energy = [&](double by) {
      std::vector<double> moved = around.positions;
      for (std::size_t i = 0; i < moved.size(); i++) moved[i] += by * std::sin(direction * (1.0 + static_cast<double>(i)));
      const PlainInput input{embedding(network, structure), moved, lists.owner, lists.first, lists.row};
      const PlainStep step =
          plain_step(shape, table ? table->pieces() : transip::native::RadialPieces{1.0, 0, nullptr}, input);
      double sum = 0.0;
      for (const double one : step.energies) sum += scale * one;
      return sum;
    };
    double along = 0.0, size = 0.0;
    for (std::size_t i = 0; i < got.forces.size(); i++) {
      along -= got.forces[i] * std::sin(direction * (1.0 + static_cast<double>(i)));
      size += std::abs(got.forces[i]);
    }
    const double h = 1e-4, slope = (8.0 * (energy(h) - energy(-h)) - (energy(2 * h) - energy(-2 * h))) / (12.0 * h);
    check(std::abs(along - slope) <= (network.metadata.dtype == "float64" ? 1e-8 : 1e-5) * size,
          "forces against differences of the plain energy: " + std::to_string(along) + " and " + std::to_string(slope));
  }
}

/// Compare an evaluation in another order of threads and blocks, and one of energies alone, with the first.
void compare_orders(transip::CudaModel &model, const transip::Request &request, const Neighbourhood &around,
                    const Result &one, const std::string &name)
{
  Result two, alone;
  emulated::set_seed(1000);
  model.evaluate(request, around.positions, two, true);
  check(same_bits(one.energies, two.energies) && same_bits(one.forces, two.forces) && one.energy == two.energy,
        name + ": the same bits in another order of threads and blocks");
  model.evaluate(request, around.positions, alone, false);
  check(same_bits(one.energies, alone.energies) && alone.forces.empty(), name + ": energies alone");
}

/// Compare a step of many launches with the one of a molecule that is done in one.
void compare_plans(const TestNetwork &network, const transip::Request &request, const Neighbourhood &around,
                   const Result &one, const std::string &name)
{
  emulated::Device device;
  device.set_blocks_at_a_time(0);
  Result many;
  transip::CudaModel::make(network.weights, network.metadata, device)->evaluate(request, around.positions, many, true);
  check(same_bits(one.energies, many.energies) && same_bits(one.forces, many.forces) && one.energy == many.energy,
        name + ": the same bits in one launch and in many");
}

/// One network and one structure: every array, energies and forces, of a molecule by two plans and, unless `once`, in two
/// orders of threads.
void run_case(const std::string &name, const TestNetwork &network, const TestStructure &structure, bool once = false)
{
  const std::string dtype = network.metadata.dtype;
  Report report(name + ", " + structure.name + ", " + dtype, dtype);
  const Neighbourhood around(structure, network.metadata.cutoff.value_or(0.0));
  const transip::Request request = around.request(structure);
  emulated::Device device;
  const auto model = transip::CudaModel::make(network.weights, network.metadata, device);
  Result one;
  emulated::set_seed(1);
  model->evaluate(request, around.positions, one, true);
  if (dtype == "float64")
    compare_arrays(report, network, structure, around, *static_cast<const transip::cuda::Step<double> *>(model->step()));
  else
    compare_arrays(report, network, structure, around, *static_cast<const transip::cuda::Step<float> *>(model->step()));

  // The truth is float64 in both cases: the weights are float32 numbers where the file is float32.
  transip::Metadata exact = network.metadata;
  exact.dtype = "float64";
  if (const auto cpu = transip::NativeModel::make(network.weights, exact)) {
    Result wanted;
    cpu->evaluate(request, around.positions, wanted, true);
    compare_results(report, network, structure, one, wanted.energies, wanted.forces);
  } else {
    compare_differences(network, structure, around, one);
  }

  if (!once) compare_orders(*model, request, around, one, name + ", " + structure.name);
  if (!network.metadata.cutoff) compare_plans(network, request, around, one, name + ", " + structure.name);
  report.print();
}

const std::array<double, 9> triclinic{5.0, 0.0, 0.0, 1.5, 4.5, 0.0, -0.7, 0.9, 4.0};

TestStructure molecule(int atoms)
{
  return random_structure(std::to_string(atoms) + " atoms in vacuum", atoms, {}, {1, 8}, 3);
}

TestNetwork turned_network(const std::string &dtype)
{
  return random_network(architecture(32, 2, 44, true, true), 4.5, dtype);
}

TestNetwork odd_network(const std::string &dtype)
{
  return random_network(architecture(40, 5, 50, false, false), 4.5, dtype);
}

TestNetwork seeing_network(const std::string &dtype, int dim = 128, int layers = 2)
{
  transip::Architecture shape = architecture(dim, 2, 100, false, false);
  shape.layers = layers;
  shape.coordinates = true;
  return random_network(shape, 0.0, dtype);
}

TestStructure crystal()
{
  return random_structure("8 atoms in a triclinic cell smaller than the cutoff", 8, triclinic, {1, 8}, 1);
}

void few_cases()
{
  const TestStructure pair =
      random_structure("2 atoms in a triclinic cell", 2, {6.0, 0, 0, 1.5, 5.5, 0, -0.7, 0.9, 5.0}, {1, 8}, 1);
  run_case("width 16", turned_network("float32"), pair, true);
  // One layer: what two of them do with each other, the other network shows.
  run_case("width 32, all to all, coordinates", seeing_network("float64", 64, 1), molecule(2), true);
}

void random_cases(const std::string &dtype)
{
  TestStructure nothing = crystal();
  nothing.name = "no atoms";
  nothing.species.clear();
  nothing.positions.clear();
  const TestNetwork local = turned_network(dtype);
  run_case("width 16", local, crystal());
  run_case("width 16", local, random_structure("one atom alone", 1, {30, 0, 0, 0, 30, 0, 0, 0, 30}, {1, 8}, 1));
  run_case("width 16", local, nothing);
  run_case("width 16", local, random_structure("50 atoms in a triclinic box smaller than the cutoff's sphere", 50,
                                               {7.9, 0, 0, 2.1, 7.5, 0, -1.4, 1.8, 7.0}, {1, 8}, 2));
  run_case("width 8, 5 heads, no bias, values not rotated", odd_network(dtype), crystal());
  const TestNetwork seeing = seeing_network(dtype);
  run_case("width 64, all to all, coordinates", seeing, molecule(11));
  run_case("width 64, all to all, coordinates", seeing, molecule(1));
  run_case("width 32, all to all, coordinates", seeing_network(dtype, 64), molecule(11));
  const TestNetwork biased = random_network(architecture(64, 4, 160, true, true), 0.0, dtype);
  run_case("width 16, all to all, radial bias", biased, molecule(9));
  run_case("width 16, all to all, radial bias", biased, molecule(23));
  run_case("width 16, all to all, radial bias", biased, molecule(35));
  run_case("width 24, values not rotated", random_network(architecture(96, 4, 64, true, false), 4.5, dtype), crystal());
  // Wide layers take the emulator long: one of them, and other orders in one precision.
  transip::Architecture wide = architecture(768, 12, 250, true, true);
  wide.layers = 1;
  run_case("width 64, 12 heads, dim 768", random_network(wide, 3.0, dtype), crystal(), dtype == "float64");
}

/// Rows without an order of their own, tokens whose energy does not count, charge and multiplicity.
void test_request(const std::string &dtype)
{
  const TestNetwork network = turned_network(dtype);
  const TestStructure structure = random_structure("half owned, charge -1, triplet", 8, triclinic, {1, 8}, 4);
  Neighbourhood around(structure, 4.5);
  for (std::size_t t = 0; t < around.owned.size(); t += 2) around.owned[t] = 0;
  transip::Request request = around.request(structure);
  request.charge = -1;
  request.multiplicity = 3;
  emulated::Device device;
  const auto model = transip::CudaModel::make(network.weights, network.metadata, device);
  transip::Metadata exact = network.metadata;
  exact.dtype = "float64";
  const auto cpu = transip::NativeModel::make(network.weights, exact);
  Result got, wanted;
  model->evaluate(request, around.positions, got, true);
  cpu->evaluate(request, around.positions, wanted, true);
  check(got.energies[0] == 0.0 && wanted.energies[0] == 0.0, "energies that do not count are zero");
  check(difference(got.energies.data(), wanted.energies) <= allowed(dtype), structure.name + ": energies");
  check(difference(got.forces.data(), wanted.forces) <= allowed(dtype), structure.name + ": forces");
}

/// A halo whose atoms are the tokens of the same structure: every halo atom g is token g. It is given in turned order, as if
/// several ranks asked.
class OwnHalo final : public transip::HaloExchange {
 public:
  OwnHalo(std::int64_t atoms, bool device) : given_(static_cast<std::size_t>(atoms)), device_(device)
  {
    std::iota(given_.rbegin(), given_.rend(), 0);
  }
  std::int64_t halo_atoms() const override { return given_atoms(); }
  std::int64_t given_atoms() const override { return static_cast<std::int64_t>(given_.size()); }
  const int *given() const override { return given_.data(); }
  void forward(const float *given, float *halo, int width) override { turn(given, halo, width); }
  void forward(const double *given, double *halo, int width) override { turn(given, halo, width); }
  void reverse(const float *halo, float *given, int width) override { turn(halo, given, width); }
  void reverse(const double *halo, double *given, int width) override { turn(halo, given, width); }
  bool takes_device_memory() const override { return device_; }

 private:
  template <typename Real> void turn(const Real *from, Real *to, int width) const
  {
    for (std::size_t g = 0; g < given_.size(); g++)
      std::copy_n(from + static_cast<std::size_t>(given_[g]) * static_cast<std::size_t>(width), width,
                  to + g * static_cast<std::size_t>(width));
  }

  std::vector<int> given_;
  bool device_;
};

/// Images whose features come by an exchange, those of every other atom, as on several ranks.
void test_halo(const std::string &dtype, bool on_device)
{
  const TestNetwork network = turned_network(dtype);
  const TestStructure structure = crystal();
  Neighbourhood around(structure, 4.5);
  emulated::Device device;
  const auto model = transip::CudaModel::make(network.weights, network.metadata, device);
  transip::Metadata exact = network.metadata;
  exact.dtype = "float64";
  Result wanted, got, alone;
  transip::NativeModel::make(network.weights, exact)->evaluate(around.request(structure), around.positions, wanted, true);
  const auto atoms = static_cast<std::int64_t>(structure.species.size());
  for (std::size_t row = structure.species.size(); row < around.owner.size(); row++)
    if (around.owner[row] % 2 == 1) around.owner[row] += atoms;
  OwnHalo halo(atoms, on_device);
  transip::Request request = around.request(structure);
  request.exchange = &halo;
  model->evaluate(request, around.positions, got, true);
  model->evaluate(request, around.positions, alone, false);
  check(difference(got.energies.data(), wanted.energies) <= allowed(dtype), "energies with a halo, " + dtype);
  check(difference(got.forces.data(), wanted.forces) <= allowed(dtype), "forces with a halo, " + dtype);
  check(same_bits(got.energies, alone.energies), "energies alone with a halo, " + dtype);
  // And without one again.
  const Neighbourhood plain(structure, 4.5);
  model->evaluate(plain.request(structure), plain.positions, got, true);
  check(difference(got.forces.data(), wanted.forces) <= allowed(dtype), "forces behind those with a halo, " + dtype);
}

void test_errors()
{
  const TestNetwork network = turned_network("float64");
  const TestStructure structure = crystal();
  const Neighbourhood around(structure, 4.5);
  const transip::Request good = around.request(structure);
  emulated::Device device;
  const auto model = transip::CudaModel::make(network.weights, network.metadata, device);
  Result result;
  const auto evaluate = [&](const transip::Request &request, std::span<const double> positions) {
    return [&, request, positions] { model->evaluate(request, positions, result, true); };
  };
  transip::Request bad = good;
  const std::vector<std::int64_t> uranium(8, 92), owners(around.owner.size(), 7),
      far(around.neighbours.size(), 1000);
  bad.species = uranium;
  check_error(evaluate(bad, around.positions), "does not know atomic number 92");
  bad = good;
  bad.owner = owners;
  check_error(evaluate(bad, around.positions), "has owner 7");
  bad = good;
  bad.neighbours = far;
  check_error(evaluate(bad, around.positions), "A neighbour is row 1000");
  bad = good;
  bad.first = good.first.first(8);
  check_error(evaluate(bad, around.positions), "positions that do not fit");
  bad = good;
  bad.charge = 5;
  check_error(evaluate(bad, around.positions), "does not know charge 5");
  bad = good;
  bad.multiplicity = 4;
  check_error(evaluate(bad, around.positions), "does not know multiplicity 4");
  std::vector<double> positions = around.positions;
  std::copy_n(positions.begin(), 3, positions.begin() + 3 * good.neighbours[0]);
  check_error(evaluate(good, positions), "Two atoms are at one position");
  check_error(evaluate(good, std::span(positions).first(9)), "8 tokens and only 3 position rows");

  transip::Metadata other = network.metadata;
  other.conservative = false;
  check(!transip::CudaModel::make(network.weights, other, device), "no kernels for forces that are no gradient");
  transip::Architecture unfit = architecture(64, 2, 32, true, true);
  unfit.dim = 132;
  unfit.heads = 1;
  other = network.metadata;
  other.architecture = unfit;
  check(!transip::CudaModel::make(network.weights, other, device), "no kernels for a head of 132 features");
}

/// Narrow networks have fewer launches.
void test_launches()
{
  const transip::cuda::Capacity capacity{192, 500, 8000};
  const transip::cuda::NetworkShape water{64, 3, 4, 160, true, true, true, true, false};
  transip::cuda::NetworkShape wide = water;
  wide.dim = 256;
  const auto launches = [&](const transip::cuda::NetworkShape &shape, bool forces) {
    return transip::cuda::plan_step(shape, capacity, {forces, false}).size();
  };
  check(launches(water, true) == 22 && launches(water, false) == 9, "launches of three narrow layers");
  check(transip::cuda::plan_step(water, capacity, {true, true}).size() == 26, "and with virials of atoms");
  check(launches(wide, true) == 41 && launches(wide, false) == 19, "launches of three wide layers");
}

/// Which steps are done by a block for each molecule: small molecules that do not fill the device.
void test_plans()
{
  const transip::cuda::NetworkShape ethanol{64, 3, 4, 160, true, false, true, true, false};
  transip::cuda::NetworkShape local = ethanol, wide = ethanol;
  local.local = true;
  wide.dim = 256;
  const auto chosen = [](const transip::cuda::NetworkShape &shape, int tokens, int largest, int blocks) {
    return transip::cuda::is_step_of_molecules(shape, {tokens, tokens, 0}, largest, blocks);
  };
  check(chosen(ethanol, 9, 9, 132) && chosen(ethanol, 1056, 32, 132), "small molecules in one launch");
  check(!chosen(ethanol, 1057, 9, 132) && !chosen(ethanol, 33, 33, 132) && !chosen(ethanol, 9, 9, 0),
        "many launches for many or large molecules");
  check(!chosen(local, 9, 9, 132) && !chosen(wide, 9, 9, 132), "many launches for local and wide networks");
  const transip::cuda::Launch one = transip::cuda::plan_molecule(ethanol, true, false),
                              many = transip::cuda::plan_molecules(ethanol, {42, 42, 0}, true);
  check(one.grid_x == 1 && many.grid_x == 6, "blocks for molecules");
}

/// Molecules of several sizes and charges in one step, and each by itself; the network sees where atoms are.
void test_molecules(const std::string &dtype)
{
  const TestNetwork network = seeing_network(dtype);
  emulated::Device device;
  const auto model = transip::CudaModel::make(network.weights, network.metadata, device);
  // Windows of blocks with two molecules, with none, and with a molecule that reaches into the next.
  const std::vector<TestStructure> molecules{molecule(3), molecule(1), molecule(7), molecule(20), molecule(2)};
  std::vector<transip::Request> requests;
  for (const TestStructure &one : molecules) {
    requests.emplace_back();
    requests.back().species = one.species;
    requests.back().positions = one.positions;
    requests.back().charge = requests.size() == 2 ? -1 : 0;
  }
  std::vector<Result> together(requests.size()), many(requests.size());
  model->evaluate_molecules(requests, together, true);
  emulated::Device other;
  other.set_blocks_at_a_time(0);
  transip::CudaModel::make(network.weights, network.metadata, other)->evaluate_molecules(requests, many, true);
  for (std::size_t k = 0; k < requests.size(); k++) {
    Result alone;
    model->evaluate(requests[k], requests[k].positions, alone, true);
    const std::string name = "a molecule among others, " + dtype + ", " + molecules[k].name;
    check(same_bits(together[k].energies, many[k].energies) && same_bits(together[k].forces, many[k].forces),
          name + ": the same bits in one launch and in many");
    check(difference(together[k].energies.data(), alone.energies) <= allowed(dtype), name + ": energies");
    check(difference(together[k].forces.data(), alone.forces) <= allowed(dtype), name + ": forces");
  }
}

/// A step of lists that reach beyond the cutoff and the same without the longer edges: bit for bit the same.
template <typename Real> void test_skin()
{
  const std::string dtype = sizeof(Real) == 4 ? "float32" : "float64";
  const TestNetwork network = turned_network(dtype);
  const TestStructure structure = crystal();
  const double cutoff = *network.metadata.cutoff;
  const Neighbourhood around(structure, cutoff + 1.0);
  transip::cuda::Lists wide, narrow;
  wide.make(around.request(structure), around.positions, cutoff + 1.0);
  narrow.make(around.request(structure), around.positions, cutoff);
  const std::size_t tokens = structure.species.size(), coordinates = around.positions.size();
  emulated::Device device;
  const transip::cuda::FileNetwork file(network.weights, network.metadata);
  const auto run = [&](const transip::cuda::Lists &lists) {
    const auto runner = transip::cuda::make_runner(device, file.weights(), file.single());
    const auto fill = [&](const transip::cuda::Inputs &to) {
      std::ranges::copy(around.positions, to.positions);
      lists.put(to);
      std::fill_n(to.begin, tokens, 0);
      std::fill_n(to.end, tokens, static_cast<int>(tokens));
      std::fill_n(to.owned, tokens, static_cast<unsigned char>(1));
      for (int *places : {to.species, to.charge, to.multiplicity}) std::fill_n(places, tokens, 0);
    };
    const transip::cuda::Results &found = runner->run(lists.counts(tokens), {true, false}, fill, nullptr);
    Result copy;
    copy.energies.assign(found.energies, found.energies + tokens);
    copy.forces.assign(found.forces, found.forces + coordinates);
    const auto &step = *static_cast<const transip::cuda::Step<Real> *>(runner->step());
    std::vector<int> kept, kept_back;
    for (std::size_t t = 0; t < tokens; t++)
      kept.insert(kept.end(), step.near.row + step.in.first[t], step.near.row + step.near.end[t]);
    for (std::size_t row = 0; row < coordinates / 3; row++)
      kept_back.insert(kept_back.end(), step.near.back_token + step.in.back_first[row],
                       step.near.back_token + step.near.back_end[row]);
    check(kept == narrow.row, "edges of tokens within the cutoff, " + dtype);
    check(kept_back == narrow.back_token, "edges to rows within the cutoff, " + dtype);
    return copy;
  };
  check(wide.row.size() > narrow.row.size(), "there are edges in the skin");
  const Result one = run(wide), other = run(narrow);
  check(same_bits(one.energies, other.energies) && same_bits(one.forces, other.forces),
        "the same bits with edges in a skin, " + dtype);
}

/// Structures of many sizes one after another: memory that grows, and what an earlier step left in it.
void test_sizes()
{
  const TestNetwork network = turned_network("float64");
  emulated::Device device;
  const auto model = transip::CudaModel::make(network.weights, network.metadata, device);
  const auto cpu = transip::NativeModel::make(network.weights, network.metadata);
  for (const int atoms : {3, 8, 2, 5}) {
    const TestStructure structure = random_structure("", atoms, triclinic, {1, 8}, static_cast<unsigned>(atoms));
    const Neighbourhood around(structure, 4.5);
    Result got, wanted;
    model->evaluate(around.request(structure), around.positions, got, true);
    cpu->evaluate(around.request(structure), around.positions, wanted, true);
    check(difference(got.forces.data(), wanted.forces) <= allowed("float64"), "forces after structures of other sizes");
  }
}

}  // namespace

int main(int count, char **arguments)
{
  const std::vector<std::string> files(arguments + 1, arguments + count);
  const bool few = !files.empty() && files.front() == "--few";
  const std::string fault = few && files.size() > 1 ? files[1] : "";
  if (fault == "--missing-barriers") emulator::plant_missing_barriers();
  if (fault == "--missing-row") emulated::plant_missing_row();
  return checks::run([&] {
    if (few) few_cases();
    for (std::size_t i = 0; !few && i + 1 < files.size(); i += 2)
      run_case(files[i].substr(files[i].rfind('/') + 1), read_network(files[i]), read_structure(files[i + 1]));
    if (files.empty()) {
      for (const std::string dtype : {"float64", "float32"}) {
        random_cases(dtype);
        test_request(dtype);
        for (const bool on_device : {false, true}) test_halo(dtype, on_device);
        test_molecules(dtype);
      }
      test_skin<double>();
      test_skin<float>();
      test_launches();
      test_plans();
      test_sizes();
      test_errors();
    }
  });
}
