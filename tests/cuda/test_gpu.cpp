// The CUDA kernels on a GPU against the CPU's kernels: whole steps of networks of every kind.
//
// Usage: test_gpu [--few] [--part I N] | test_gpu times | test_gpu compile ARCHITECTURE
// --few: two small structures, for compute-sanitizer. --part: of all cases the I-th of every N, from 0; most of the time
// goes into compiling their kernels, so that parts may run at once. Each case is a line, PASS or FAIL.
// `times` measures a step of small molecules in one launch and in many.
// Exit codes: 0 they agree, 1 they do not, 2 usage, 3 there is no GPU or no driver. `compile` needs none: it compiles the
// kernels of one network, or takes them from the cache, and prints the size of the machine code.

#include "cpu/native_model.h"
#include "cuda/compiler.h"
#include "cuda/dynamics.h"
#include "cuda/gpu.h"
#include "evaluate/short_range.h"
#include "networks.h"
#include "structures.h"
#include "transip/error.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <iostream>
#include <span>
#include <string>
#include <tuple>
#include <vector>

namespace {

/// A kind of network and a structure for it.
struct Case {
  int dim, heads, feedforward;
  bool radial, coordinates, repels;
  double cutoff;  // Angstrom; 0: all to all
  std::string dtype;
  TestStructure structure;
  int charge = 0, multiplicity = 1;
  bool many_launches = false;  // also where one would do

  transip::Architecture architecture() const
  {
    transip::Architecture shape = ::architecture(dim, heads, feedforward, radial, radial);
    shape.coordinates = coordinates;
    shape.short_range = repels;
    return shape;
  }

  std::string name() const
  {
    return std::string(cutoff > 0.0 ? "local" : "all to all") + ", width " + std::to_string(dim) + ", heads of " +
           std::to_string(dim / heads) + (radial ? ", radial bias" : "") + (coordinates ? ", coordinates" : "") +
           (repels ? ", repulsion" : "") + (charge ? ", charge" : "") + (many_launches ? ", many launches" : "") + ", " +
           dtype + ", " + structure.name;
  }
};

std::vector<Case> all_cases()
{
  const TestStructure box = random_structure("50 atoms in a triclinic box", 50,
                                             {7.9, 0, 0, 2.1, 7.5, 0, -1.4, 1.8, 7.0}, {1, 8}, 2);
  const TestStructure cell = random_structure("8 atoms in a cell smaller than the cutoff", 8,
                                              {5.0, 0, 0, 1.5, 4.5, 0, -0.7, 0.9, 4.0}, {1, 8}, 8);
  const TestStructure large = random_structure("1,000 atoms", 1000, {22, 0, 0, 3, 21, 0, -2, 4, 23}, {1, 8}, 6);
  const TestStructure molecule = random_structure("11 atoms in vacuum", 11, {}, {1, 8}, 3);
  const TestStructure atom = random_structure("one atom in vacuum", 1, {}, {8}, 3);
  std::vector<Case> cases;
  for (const std::string dtype : {"float32", "float64"}) {
    cases.push_back({64, 4, 160, true, false, false, 4.5, dtype, box});
    cases.push_back({64, 4, 160, true, false, false, 0.0, dtype, molecule});
    cases.push_back({32, 2, 44, true, false, true, 4.5, dtype, cell});
    cases.push_back({128, 2, 100, false, true, true, 0.0, dtype, molecule});
    cases.push_back({64, 4, 160, true, false, true, 4.5, dtype, large});
    cases.push_back({64, 4, 160, true, false, false, 4.5, dtype, box, -1, 3});
    cases.push_back({64, 4, 160, true, false, false, 0.0, dtype, atom});
    cases.push_back({64, 8, 96, false, false, false, 4.5, dtype, box});
    cases.push_back({64, 4, 160, true, false, false, 0.0, dtype, molecule, 0, 1, true});
    cases.push_back({128, 2, 100, false, true, true, 0.0, dtype, molecule, 0, 1, true});
  }
  cases.push_back({256, 8, 512, true, false, false, 4.5, "float32", box});
  cases.push_back({768, 12, 2048, true, false, false, 4.5, "float32", box});
  return cases;
}

/// Energies of atoms and their forces by the CPU's kernels in float64; those of images are added to their atoms.
struct Truth {
  std::vector<double> energies, forces;

  Truth(const TestNetwork &network, const Case &one)
  {
    transip::Metadata exact = network.metadata;
    exact.dtype = "float64";
    const Neighbourhood around(one.structure, one.cutoff);
    transip::Request request = around.request(one.structure);
    request.charge = one.charge;
    request.multiplicity = one.multiplicity;
    transip::Result found;
    transip::NativeModel::make(network.weights, exact)->evaluate(request, around.positions, found, true);
    if (auto repulsion = transip::ShortRange::make(network.weights, exact))
      repulsion->add(request, around.positions, found, true);
    energies = found.energies;
    forces.resize(3 * one.structure.species.size());
    for (std::size_t i = 0; i < found.forces.size(); i++)
      forces[3 * static_cast<std::size_t>(around.owner[i / 3]) + i % 3] += found.forces[i];
  }
};

double difference(std::span<const double> got, const std::vector<double> &wanted)
{
  if (got.size() != wanted.size()) return NAN;
  double most = 0.0, size = 1.0;
  for (std::size_t i = 0; i < wanted.size(); i++) {
    if (!(std::abs(got[i] - wanted[i]) <= most)) most = std::abs(got[i] - wanted[i]);
    size = std::max(size, std::abs(wanted[i]));
  }
  return most / size;
}

bool same_bits(std::span<const double> a, const std::vector<double> &b)
{
  return a.size() == b.size() && (b.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// Has a device do all steps in many launches, or as it would, as long as this lives.
class Launches {
 public:
  Launches(transip::cuda::Device &device, bool many) : device_(device), blocks_(device.blocks_at_a_time())
  {
    if (many) device.set_blocks_at_a_time(0);
  }
  ~Launches() { device_.set_blocks_at_a_time(blocks_); }
  Launches(const Launches &) = delete;
  Launches &operator=(const Launches &) = delete;

 private:
  transip::cuda::Device &device_;
  int blocks_;
};

/// Whether a structure twice, together, has twice the bits that it has alone.
bool same_together(transip::cuda::Dynamics &dynamics, const Case &one, double energy, const std::vector<double> &forces)
{
  const bool periodic = one.structure.periodic();
  const std::vector<transip::cuda::BatchStructure> batch(
      2, {one.structure.species.size(), one.charge, one.multiplicity, {one.structure.cell, {periodic, periodic, periodic}}});
  std::vector<std::int64_t> species = one.structure.species;
  std::vector<double> positions = one.structure.positions;
  species.insert(species.end(), one.structure.species.begin(), one.structure.species.end());
  positions.insert(positions.end(), one.structure.positions.begin(), one.structure.positions.end());
  dynamics.set_batch(species, batch);
  const transip::cuda::Evaluation &found = dynamics.evaluate(positions, {.forces = true, .virial = true});
  return found.structure_energies[0] == energy && found.structure_energies[1] == energy &&
      same_bits(found.forces.first(forces.size()), forces) && same_bits(found.forces.subspan(forces.size()), forces);
}

/// Whether energies and forces agree, the same bits come twice, and together with another structure, and the energy comes
/// alone too.
bool agrees(transip::cuda::Device &device, const Case &one)
{
  const TestNetwork network = random_network(one.architecture(), one.cutoff, one.dtype);
  const Launches launches(device, one.many_launches);
  const auto make = [&] {
    auto dynamics = transip::cuda::Dynamics::make(network.weights, network.metadata, device);
    const bool periodic = one.structure.periodic();
    dynamics->set_box({one.structure.cell, {periodic, periodic, periodic}});
    dynamics->set_atoms(one.structure.species, one.charge, one.multiplicity);
    return dynamics;
  };
  const auto gpu = make();
  const transip::cuda::Evaluation &got =
      gpu->evaluate(one.structure.positions, {.forces = true, .virial = true, .energies = true});
  const Truth wanted(network, one);
  const double off = std::max(difference(got.energies, wanted.energies), difference(got.forces, wanted.forces));
  const std::vector<double> forces(got.forces.begin(), got.forces.end());
  const double energy = got.energy;
  const auto again = make();
  const transip::cuda::Evaluation &second = again->evaluate(one.structure.positions, {});
  bool same = second.energy == energy && same_bits(second.forces, forces);
  same = again->evaluate(one.structure.positions, {.forces = false}).energy == energy && same;
  if (one.cutoff > 0.0) same = same_together(*again, one, energy, forces) && same;
  const double allowed = one.dtype == "float64" ? 1e-10 : 5e-6;
  const bool good = same && off <= allowed;
  std::cout << (good ? "PASS " : "FAIL ") << one.name() << ": difference " << off << " of " << allowed
            << (same ? "" : ", other bits in the second run or together") << std::endl;
  return good;
}

/// Milliseconds of a step of a molecule, from positions to forces on the host.
double time_of_step(transip::cuda::Device &device, const TestNetwork &network, const TestStructure &molecule, bool many)
{
  const Launches launches(device, many);
  const auto dynamics = transip::cuda::Dynamics::make(network.weights, network.metadata, device);
  dynamics->set_atoms(molecule.species, 0, 1);
  constexpr int warming = 50, steps = 500;
  for (int step = 0; step < warming; step++) dynamics->evaluate(molecule.positions, {});
  const auto start = std::chrono::steady_clock::now();
  for (int step = 0; step < steps; step++) dynamics->evaluate(molecule.positions, {});
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / steps;
}

/// Networks of the shapes of shipped models, molecules of several sizes.
void time_molecules(transip::cuda::Device &device)
{
  constexpr int layers = 3;
  for (const auto &[name, dim, heads, feedforward] :
       {std::tuple{"ethanol", 64, 4, 160}, std::tuple{"organic", 96, 6, 240}})
    for (const int atoms : {9, 16, 24, 32}) {
      transip::Architecture shape = ::architecture(dim, heads, feedforward, true, true);
      shape.layers = layers;
      const TestNetwork network = random_network(shape, 0.0, "float32");
      const TestStructure molecule = random_structure("", atoms, {}, {1, 8}, 3);
      const double one = time_of_step(device, network, molecule, false),
                   many = time_of_step(device, network, molecule, true);
      std::cout << "TIME shape of " << name << ", " << atoms << " atoms: one launch " << one << " ms, many launches "
                << many << " ms" << std::endl;
    }
}

/// Kernels that are wanted twice at a time: they are compiled once.
void compile(const std::string &architecture)
{
  const transip::cuda::NetworkShape shape{64, 3, 4, 160, true, true, true, true, false};
  const auto start = [&] { return transip::cuda::compile_kernels(shape, transip::cuda::NetworkFile::step, architecture); };
  const auto one = start(), other = start();
  if (one.get() != other.get()) throw transip::Error("the same kernels, compiled twice, are not the same");
  std::cout << one.get().size() << " bytes\n";
}

/// Seconds until all is compiled that a network of ethanol's or water's shape wants before its first step.
void time_first_use(bool molecule, const std::string &architecture)
{
  using namespace transip::cuda;
  const NetworkShape shape{64, 3, 4, 160, true, !molecule, true, true, false};
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::shared_future<std::string>> files{compile_kernels(KernelFile::search, architecture)};
  if (molecule) {
    files.push_back(compile_kernels(shape, NetworkFile::molecule, architecture));
  } else {
    files.push_back(compile_kernels(shape, NetworkFile::step, architecture));
    files.push_back(compile_kernels(KernelFile::totals, architecture));
  }
  std::size_t bytes = 0;
  for (const auto &file : files) bytes += file.get().size();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::cout << "TIME first use, " << (molecule ? "molecule" : "box") << ": " << files.size() << " files, " << bytes
            << " bytes, " << seconds.count() << " s\n";
}

int usage()
{
  std::cerr << "usage: test_gpu [--few] [--part I N] | test_gpu times | test_gpu compile ARCHITECTURE | "
               "test_gpu first molecule|box ARCHITECTURE\n";
  return 2;
}

}  // namespace

int main(int count, char **arguments)
{
  const std::vector<std::string> words(arguments + 1, arguments + count);
  bool few = false;
  std::size_t part = 0, parts = 1;
  try {
    if (words.size() == 2 && words[0] == "compile") {
      compile(words[1]);
      return 0;
    }
    if (words.size() == 3 && words[0] == "first" && (words[1] == "molecule" || words[1] == "box")) {
      time_first_use(words[1] == "molecule", words[2]);
      return 0;
    }
    if (words.size() == 1 && words[0] == "times") {
      const auto device = transip::cuda::open_gpu(0);
      time_molecules(*device);
      return 0;
    }
    for (std::size_t i = 0; i < words.size(); i++) {
      if (words[i] == "--few") {
        few = true;
      } else if (words[i] == "--part" && i + 2 < words.size()) {
        part = std::stoul(words[i + 1]);
        parts = std::stoul(words[i + 2]);
        i += 2;
      } else {
        return usage();
      }
    }
    if (part >= parts) return usage();
    const auto device = transip::cuda::open_gpu(0);
    std::cout << device->name() << std::endl;
    std::vector<Case> cases = all_cases();
    if (few) cases = {cases[2], cases[1]};
    bool good = true;
    for (std::size_t i = part; i < cases.size(); i += parts) good = agrees(*device, cases[i]) && good;
    return good ? 0 : 1;
  } catch (const std::invalid_argument &) {
    return usage();
  } catch (const transip::Error &problem) {
    std::cerr << problem.what() << '\n';
    return 3;
  }
}
