// Whole steps under the emulator against the CPU's kernels: neighbours, network, repulsion, forces of atoms, virial.
//
// Usage: test_dynamics [--few | --gpu] [MODEL STRUCTURE]...
// Files as test_kernels takes them. --few: two small cases, for ThreadSanitizer. --gpu: all of it on the first GPU instead
// of the emulator.

#include "checks.h"
#include "cpu/native_model.h"
#include "cuda/dynamics.h"
#include "cuda/gpu.h"
#include "emulated_device.h"
#include "evaluate/short_range.h"
#include "networks.h"
#include "structures.h"
#include "transip/error.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>

namespace {

using checks::check;
using checks::check_error;
using transip::cuda::Dynamics;
using transip::cuda::Evaluation;
using transip::cuda::Periodicity;

bool on_gpu = false;

std::unique_ptr<transip::cuda::Device> make_device()
{
  if (on_gpu) return transip::cuda::open_gpu(0);
  return std::make_unique<emulated::Device>();
}

/// A device that does no step in one launch.
std::unique_ptr<transip::cuda::Device> make_device_of_many_launches()
{
  auto device = make_device();
  device->set_blocks_at_a_time(0);
  return device;
}

const std::byte *bytes_of(const double *numbers)
{
  return reinterpret_cast<const std::byte *>(numbers);
}

/// Whether there are virials of atoms.
bool has_virials(const TestNetwork &network)
{
  return !network.metadata.architecture->coordinates;
}

/// What the CPU's kernels give for a structure, with the forces of images added to their atoms.
struct Truth {
  double energy = 0.0;
  std::vector<double> energies, forces;
  std::vector<double> virial = std::vector<double>(9), virials;
  double nearest = 1e300;

  Truth(const TestNetwork &network, const TestStructure &structure)
  {
    // float64 in both cases: the weights are float32 numbers where the file is float32.
    transip::Metadata exact = network.metadata;
    exact.dtype = "float64";
    const Neighbourhood around(structure, network.metadata.cutoff.value_or(0.0));
    transip::Request request = around.request(structure);
    request.virials = has_virials(network);
    transip::Result found;
    transip::NativeModel::make(network.weights, exact)
        ->evaluate(request, around.positions, found, true, request.virials ? &found.virials : nullptr);
    if (auto repulsion = transip::ShortRange::make(network.weights, exact))
      repulsion->add(request, around.positions, found, true);
    for (std::size_t t = 0; t < structure.species.size(); t++)
      for (std::size_t row = 0; row < around.owner.size(); row++) {
        double square = 0.0;
        for (std::size_t x = 0; x < 3; x++) square += std::pow(around.positions[3 * row + x] - around.positions[3 * t + x], 2);
        // Rows that another token sees may be beyond the cutoff of this one, but not the nearest of all.
        if (row != t) nearest = std::min(nearest, std::sqrt(square));
      }
    virials = found.virials;
    energies = found.energies;
    for (const double one : energies) energy += one;
    forces.resize(3 * structure.species.size());
    for (std::size_t row = 0; row < around.owner.size(); row++)
      for (std::size_t x = 0; x < 3; x++) {
        const double force = found.forces[3 * row + x];
        forces[3 * static_cast<std::size_t>(around.owner[row]) + x] += force;
        for (std::size_t y = 0; y < 3; y++) virial[3 * y + x] += around.positions[3 * row + y] * force;
      }
  }
};

/// Largest difference over the largest number, or over `size` if that is larger; infinite for other sizes, or where there is
/// no number.
double difference(std::span<const double> got, const std::vector<double> &wanted, double size)
{
  if (got.size() != wanted.size()) return INFINITY;
  double most = 0.0;
  for (std::size_t i = 0; i < wanted.size(); i++) {
    const double off = std::abs(got[i] - wanted[i]);
    if (!(off <= most)) most = std::isnan(off) ? INFINITY : off;
    size = std::max(size, std::abs(wanted[i]));
  }
  return most / size;
}

/// Energies without what the elements have by themselves would be small: they are compared with what they vary by, 1 eV.
double compare(const std::string &name, const std::string &dtype, const Truth &truth, const Evaluation &got)
{
  const double bar = dtype == "float64" ? 1e-10 : 5e-6;
  // Sums over atoms: their terms have errors of their own.
  double extent = 1.0;
  for (const double force : truth.forces) extent = std::max(extent, std::abs(force));
  const double off = std::max({difference(got.energies, truth.energies, 1.0), difference(got.forces, truth.forces, 1.0),
                               std::abs(got.energy - truth.energy) / (1.0 + static_cast<double>(truth.energies.size())),
                               difference(got.virial, truth.virial, 10.0 * extent),
                               difference(got.virials, truth.virials, 10.0 * extent)});
  check(std::abs(got.nearest - truth.nearest) <= 1e-9 * truth.nearest, name + ": the nearest pair");
  check(off <= bar, name + ", " + dtype + ": differs by " + std::to_string(off / bar) + " of what is allowed: energies " +
                        std::to_string(difference(got.energies, truth.energies, 1.0) / bar) + ", forces " +
                        std::to_string(difference(got.forces, truth.forces, 1.0) / bar) + ", virial " +
                        std::to_string(difference(got.virial, truth.virial, 10.0 * extent) / bar) + ", virials of atoms " +
                        std::to_string(difference(got.virials, truth.virials, 10.0 * extent) / bar));
  return off;
}

transip::cuda::Wanted everything(const TestNetwork &network)
{
  return {true, true, true, true, has_virials(network)};
}

Periodicity periodicity(const TestStructure &structure)
{
  return {structure.cell, {structure.periodic(), structure.periodic(), structure.periodic()}};
}

bool same_bits(std::span<const double> a, std::span<const double> b)
{
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// One structure: everything; the same bits in another order of threads, without virial, and from positions on the device.
void run_case(const std::string &name, const TestNetwork &network, const TestStructure &structure, const Periodicity &box,
              bool once = false)
{
  const std::string title = name + ", " + structure.name, dtype = network.metadata.dtype;
  const auto device = make_device();
  emulated::set_seed(1);
  const auto dynamics = Dynamics::make(network.weights, network.metadata, *device);
  dynamics->set_box(box);
  dynamics->set_atoms(structure.species, 0, 1);
  const Evaluation &got = dynamics->evaluate(structure.positions, everything(network));
  const double off = compare(title, dtype, Truth(network, structure), got);
  std::ostringstream line;
  line << "  " << title << ", " << dtype << ": largest difference " << off;
  std::cout << line.str() << '\n';
  if (once) return;

  const std::vector<double> forces(got.forces.begin(), got.forces.end()),
      virials(got.virials.begin(), got.virials.end());
  const double energy = got.energy;
  const std::array<double, 9> virial = got.virial;
  const double nearest = got.nearest;
  const std::array<int, 2> pair = got.pair;
  emulated::set_seed(1000);
  const auto again = Dynamics::make(network.weights, network.metadata, *device);
  again->set_box(box);
  again->set_atoms(structure.species, 0, 1);
  device->upload(reinterpret_cast<std::byte *>(again->device_positions()), bytes_of(structure.positions.data()),
                 structure.positions.size() * sizeof(double));
  const Evaluation &left = again->evaluate_on_device(everything(network));
  std::vector<double> left_forces(forces.size());
  device->download(reinterpret_cast<std::byte *>(left_forces.data()), bytes_of(again->device_forces()),
                   forces.size() * sizeof(double));
  std::vector<double> left_virials(virials.size());
  device->download(reinterpret_cast<std::byte *>(left_virials.data()), bytes_of(again->device_virials()),
                   virials.size() * sizeof(double));
  check(left.energy == energy && left.virial == virial && left.forces.empty() && left.energies.empty() &&
            left.virials.empty() && same_bits(left_forces, forces) && same_bits(left_virials, virials),
        title + ": the same bits in another order of threads, left on the device");
  const Evaluation &plain = dynamics->evaluate(structure.positions, {});
  check(plain.energy == energy && same_bits(plain.forces, forces) && plain.energies.empty() &&
            plain.virial == std::array<double, 9>{},
        title + ": without virial and energies of atoms");
  const Evaluation &alone = dynamics->evaluate(structure.positions, {.forces = false});
  check(alone.energy == energy && alone.forces.empty(), title + ": the energy alone");
  if (network.metadata.cutoff) return;
  const auto other = make_device_of_many_launches();
  const auto many = Dynamics::make(network.weights, network.metadata, *other);
  many->set_atoms(structure.species, 0, 1);
  const Evaluation &apart = many->evaluate(structure.positions, everything(network));
  check(apart.energy == energy && apart.virial == virial && same_bits(apart.forces, forces) &&
            apart.nearest == nearest && apart.pair == pair,
        title + ": the same bits in one launch and in many");
}

void run_case(const std::string &name, const TestNetwork &network, const TestStructure &structure, bool once = false)
{
  run_case(name, network, structure, periodicity(structure), once);
}

const std::array<double, 9> triclinic{5.0, 0.0, 0.0, 1.5, 4.5, 0.0, -0.7, 0.9, 4.0};

TestNetwork local_network(const std::string &dtype, bool repels = true)
{
  transip::Architecture shape = architecture(32, 2, 44, true, true);
  shape.short_range = repels;
  return random_network(shape, 4.5, dtype);
}

TestStructure crystal(int atoms = 8)
{
  return random_structure(std::to_string(atoms) + " atoms in a triclinic cell smaller than the cutoff", atoms, triclinic,
                          {1, 8}, static_cast<unsigned>(atoms));
}

/// A network that attends all to all and sees where atoms are, with a repulsion.
TestNetwork seeing_network(const std::string &dtype, int layers = 2)
{
  transip::Architecture shape = architecture(64, 2, 100, false, false);
  shape.layers = layers;
  shape.coordinates = true;
  shape.short_range = true;
  return random_network(shape, 0.0, dtype);
}

TestStructure molecule(int atoms)
{
  return random_structure(std::to_string(atoms) + " atoms in vacuum", atoms, {}, {1, 8}, 3);
}

void random_cases(const std::string &dtype)
{
  TestStructure nothing = crystal();
  nothing.name = "no atoms";
  nothing.species.clear();
  nothing.positions.clear();
  const TestNetwork local = local_network(dtype);
  run_case("local", local, crystal());
  run_case("local, no repulsion", local_network(dtype, false), crystal(5));
  run_case("local", local, nothing);
  run_case("local", local, random_structure("one atom in a cell smaller than the cutoff", 1, triclinic, {8}, 1));
  run_case("local", local, random_structure("one atom alone", 1, {30, 0, 0, 0, 30, 0, 0, 0, 30}, {1, 8}, 1));
  run_case("local", local, random_structure("9 atoms in vacuum", 9, {}, {1, 8}, 5));
  run_case("local", local, random_structure("50 atoms in a triclinic box smaller than the cutoff's sphere", 50,
                                            {7.9, 0, 0, 2.1, 7.5, 0, -1.4, 1.8, 7.0}, {1, 8}, 2), true);
  const TestNetwork all = seeing_network(dtype);
  nothing.cell = {};
  for (const int atoms : {7, 30, 33, 1}) run_case("all to all, coordinates", all, molecule(atoms));
  run_case("all to all, coordinates", all, nothing);
  // With virials of atoms in many launches, without them in one.
  run_case("all to all, radial bias", random_network(architecture(64, 4, 160, true, true), 0.0, dtype), molecule(9));
}

/// A slab: the truth is periodic along its third vector too, with nothing within reach there.
void test_slab(const std::string &dtype)
{
  TestStructure structure = random_structure("a slab of 8 atoms", 8, {6, 0, 0, 1, 5, 0, 0, 0, 5}, {1, 8}, 9);
  for (std::size_t i = 0; i < 3 * structure.species.size(); i += 15)
    for (std::size_t x = 0; x < 3; x++) structure.positions[i + x] -= 2.0 * structure.cell[x] - structure.cell[3 + x];
  const Periodicity box{structure.cell, {true, true, false}};
  structure.cell[8] = 100.0;
  run_case("local", local_network(dtype), structure, box);
}

/// Atoms and box that move from step to step, for as long as neighbours have to be sought again and lists grow.
void test_moves(const std::string &dtype)
{
  const TestNetwork network = local_network(dtype);
  TestStructure structure = crystal();
  const auto device = make_device();
  const auto dynamics = Dynamics::make(network.weights, network.metadata, *device);
  dynamics->set_atoms(structure.species, 0, 1);
  std::mt19937 random(4);
  std::normal_distribution<double> by(0.0, 0.08);
  double worst = 0.0;
  constexpr int steps = 14;
  for (int step = 0; step < steps; step++) {
    // A barostat; at last the box shrinks so much that more images are seen than there is room for.
    const double scale = step == 11 ? 0.7 : 1.0 + 0.004 * std::sin(static_cast<double>(step));
    for (double &x : structure.cell) x *= scale;
    for (double &x : structure.positions) x *= scale;
    for (double &x : structure.positions) x += step == 11 ? 0.0 : by(random);
    // An engine may bring an atom back into its box.
    if (step == 3)
      for (std::size_t x = 0; x < 3; x++) structure.positions[x] += structure.cell[6 + x];
    dynamics->set_box(periodicity(structure));
    const Evaluation &got = dynamics->evaluate(structure.positions, everything(network));
    worst = std::max(worst, compare("step " + std::to_string(step) + " of a run", dtype, Truth(network, structure), got));
  }
  std::cout << "  a run of " << steps << " steps, " << dtype << ": largest difference " << worst << ", "
            << dynamics->searches() << " searches\n";
  check(dynamics->searches() > 3 && dynamics->searches() < steps + 3, "a run seeks neighbours now and then");
}

/// A structure that stays where it is needs one search (and a first one that counts), and memory does not grow.
void test_rest()
{
  const TestNetwork network = local_network("float32");
  const TestStructure structure = crystal();
  const auto device = make_device();
  const auto dynamics = Dynamics::make(network.weights, network.metadata, *device);
  dynamics->set_atoms(structure.species, 0, 1);
  dynamics->set_box(periodicity(structure));
  dynamics->evaluate(structure.positions, {});
  const std::int64_t searches = dynamics->searches();
  const std::size_t memory = dynamics->memory();
  for (int step = 0; step < 3; step++) {
    dynamics->set_atoms(structure.species, 0, 1);
    dynamics->set_box(periodicity(structure));
    dynamics->evaluate(structure.positions, {});
  }
  check(searches == 2 && dynamics->searches() == searches && dynamics->memory() == memory,
        "nothing is sought, and no memory taken, where nothing moves");
}

/// Structures of other sizes, charges and multiplicities one after another.
void test_changes()
{
  const TestNetwork network = local_network("float64");
  const auto device = make_device();
  const auto dynamics = Dynamics::make(network.weights, network.metadata, *device);
  for (const int atoms : {3, 8, 0, 2, 8}) {
    TestStructure structure = crystal(std::max(1, atoms));
    structure.species.resize(static_cast<std::size_t>(atoms));
    structure.positions.resize(static_cast<std::size_t>(3 * atoms));
    dynamics->set_atoms(structure.species, 0, 1);
    dynamics->set_box(periodicity(structure));
    compare("after structures of other sizes, " + structure.name, "float64", Truth(network, structure),
            dynamics->evaluate(structure.positions, everything(network)));
  }
  const TestStructure structure = crystal();
  const double neutral = dynamics->evaluate(structure.positions, {}).energy;
  dynamics->set_atoms(structure.species, -1, 3);
  const double charged = dynamics->evaluate(structure.positions, {}).energy;
  dynamics->set_atoms(structure.species, 0, 1);
  check(charged != neutral && dynamics->evaluate(structure.positions, {}).energy == neutral,
        "charge and multiplicity are taken to the device");
}

/// Networks of a committee share one search, through moves, growing lists and structures of other sizes; each gives the
/// bits that it gives alone.
void test_members()
{
  transip::Architecture deep = architecture(32, 2, 44, true, true);
  deep.layers = 3;
  const TestNetwork networks[] = {local_network("float64"), local_network("float32", false),
                                  random_network(deep, 4.5, "float64")};
  const auto device = make_device(), other_device = make_device();
  std::vector<std::unique_ptr<Dynamics>> members, alone;
  for (const TestNetwork &network : networks) {
    members.push_back(members.empty() ? Dynamics::make(network.weights, network.metadata, *device)
                                      : members.front()->make_beside(network.weights, network.metadata));
    alone.push_back(Dynamics::make(network.weights, network.metadata, *other_device));
  }
  std::mt19937 random(4);
  std::normal_distribution<double> by(0.0, 0.08);
  TestStructure structure = crystal();
  constexpr int steps = 14;
  bool equal = true;
  for (int step = 0; step < steps; step++) {
    if (step == 7) structure = crystal(5);
    const double scale = step == 11 ? 0.7 : 1.0 + 0.004 * std::sin(static_cast<double>(step));
    for (double &x : structure.cell) x *= scale;
    for (double &x : structure.positions) x = scale * x + by(random);
    const auto evaluate = [&](Dynamics &dynamics) -> const Evaluation & {
      dynamics.set_box(periodicity(structure));
      dynamics.set_atoms(structure.species, 0, 1);
      return dynamics.evaluate(structure.positions, everything(networks[0]));
    };
    for (std::size_t k = 0; k < members.size(); k++) {
      const Evaluation &wanted = evaluate(*alone[k]);
      // The first drives a run, the others look at some of its steps.
      if (k > 0 && step % 3 != 0) continue;
      const Evaluation &got = evaluate(*members[k]);
      equal = equal && got.energy == wanted.energy && got.virial == wanted.virial &&
              same_bits(got.forces, wanted.forces) && same_bits(got.energies, wanted.energies) &&
              same_bits(got.virials, wanted.virials);
      if (step == steps - 2)
        compare("member " + std::to_string(k), networks[k].metadata.dtype, Truth(networks[k], structure), got);
    }
  }
  check(equal, "networks that share neighbours give the bits that each gives alone");
  check(members[0]->searches() == alone[0]->searches() && members[2]->searches() == members[0]->searches(),
        "networks that share neighbours seek them as often as one");
  check(members[0]->memory() + members[1]->memory() < alone[0]->memory() + alone[1]->memory(), "and keep them once");
  members.erase(members.begin());
  compare("a member without the first", "float32", Truth(networks[1], structure),
          members[0]->evaluate(structure.positions, everything(networks[0])));
  const TestNetwork longer = random_network(deep, 5.0, "float64");
  check(!alone[0]->make_beside(longer.weights, longer.metadata), "another cutoff has other neighbours");
}

/// Structures that are evaluated together, with charges and multiplicities of their own.
struct Batch {
  std::vector<TestStructure> structures;
  std::vector<std::int64_t> species{};
  std::vector<double> positions{};
  std::vector<transip::cuda::BatchStructure> parts{};

  explicit Batch(std::vector<TestStructure> of) : structures(std::move(of))
  {
    for (std::size_t k = 0; k < structures.size(); k++) {
      const TestStructure &one = structures[k];
      species.insert(species.end(), one.species.begin(), one.species.end());
      positions.insert(positions.end(), one.positions.begin(), one.positions.end());
      parts.push_back({one.species.size(), k == 1 ? -1 : 0, k == 1 ? 3 : 1, periodicity(one)});
    }
  }

  const Evaluation &evaluate(Dynamics &dynamics, const transip::cuda::Wanted &wanted) const
  {
    dynamics.set_batch(species, parts);
    return dynamics.evaluate(positions, wanted);
  }

  /// The part of an evaluation of all that is one structure's.
  Evaluation part(const Evaluation &all, std::size_t number) const
  {
    std::size_t first = 0;
    for (std::size_t k = 0; k < number; k++) first += parts[k].atoms;
    const auto cut = [&](std::span<const double> numbers, std::size_t each) {
      return numbers.empty() ? numbers : numbers.subspan(each * first, each * parts[number].atoms);
    };
    Evaluation one;
    one.energy = all.structure_energies[number];
    std::ranges::copy(all.structure_virials.subspan(9 * number, 9), one.virial.begin());
    one.forces = cut(all.forces, 3);
    one.energies = cut(all.energies, 1);
    one.virials = cut(all.virials, 9);
    return one;
  }
};

/// Each structure of a batch has the bits that it has alone, whatever is beside it.
void test_batch(const std::string &dtype, const std::vector<TestStructure> &structures)
{
  const TestNetwork network = local_network(dtype);
  const auto device = make_device();
  const auto together = Dynamics::make(network.weights, network.metadata, *device);
  const transip::cuda::Wanted wanted{true, true, true, false, true};
  const auto check_bits = [&](const Batch &batch, const std::string &what) {
    const Evaluation &all = batch.evaluate(*together, wanted);
    bool equal = all.structure_energies.size() == batch.structures.size();
    for (std::size_t k = 0; equal && k < batch.structures.size(); k++) {
      const auto alone = Dynamics::make(network.weights, network.metadata, *device);
      const TestStructure &structure = batch.structures[k];
      alone->set_box(periodicity(structure));
      alone->set_atoms(structure.species, batch.parts[k].charge, batch.parts[k].multiplicity);
      const Evaluation &one = alone->evaluate(structure.positions, wanted), got = batch.part(all, k);
      equal = got.energy == one.energy && got.virial == one.virial && same_bits(got.forces, one.forces) &&
              same_bits(got.energies, one.energies) && same_bits(got.virials, one.virials);
    }
    check(equal, std::to_string(batch.structures.size()) + " structures together, " + dtype + ", " + what +
                     ": each has the bits that it has alone");
  };
  check_bits(Batch(structures), "one after the other");
  check_bits(Batch({structures.rbegin(), structures.rend()}), "in turned order");
  Batch batch(std::vector<TestStructure>(structures.begin(), structures.begin() + 2));
  check_bits(batch, "some of them");
  const std::int64_t searches = together->searches();
  const double energy = batch.evaluate(*together, {.forces = false}).structure_energies[1];
  check(energy == batch.evaluate(*together, wanted).structure_energies[1] && together->searches() == searches,
        "energies alone of structures together, without another search");
  // One alone, and all again.
  together->set_box(periodicity(structures[0]));
  together->set_atoms(structures[0].species, 0, 1);
  Evaluation one = together->evaluate(structures[0].positions, everything(network));
  compare("one structure behind several, " + structures[0].name, dtype, Truth(network, structures[0]), one);
  check(one.structure_energies.empty(), "one structure is no batch");
  check_bits(Batch(structures), "again");
}

/// Two small structures together, for the sanitizers.
void test_two_together()
{
  const TestNetwork network = local_network("float32");
  const auto device = make_device();
  const auto together = Dynamics::make(network.weights, network.metadata, *device);
  const Batch batch({crystal(2), random_structure("one atom alone", 1, {30, 0, 0, 0, 30, 0, 0, 0, 30}, {8}, 1)});
  const Evaluation &all = batch.evaluate(*together, everything(network));
  const Truth truth(network, batch.structures[0]);
  Evaluation got = batch.part(all, 0);
  got.nearest = all.nearest;
  compare("two structures together", "float32", truth, got);
}

/// Structures that move together, one of them in a box that moves too: neighbours are sought now and then.
void test_batch_moves(const std::string &dtype)
{
  const TestNetwork network = local_network(dtype);
  const auto device = make_device();
  const auto together = Dynamics::make(network.weights, network.metadata, *device);
  std::mt19937 random(4);
  std::normal_distribution<double> by(0.0, 0.08);
  std::vector<TestStructure> structures{crystal(), crystal(5), molecule(4)};
  constexpr int steps = 10;
  for (int step = 0; step < steps; step++) {
    for (TestStructure &structure : structures)
      for (double &x : structure.positions) x += by(random);
    const double scale = step == 7 ? 0.7 : 1.004;
    for (double &x : structures[0].cell) x *= scale;
    for (double &x : structures[0].positions) x *= scale;
    const Batch batch(structures);
    const Evaluation &all = batch.evaluate(*together, {true, true, true, false, true});
    if (step % 3 != 0 && step != 7) continue;
    for (const std::size_t k : {std::size_t{0}, std::size_t{2}}) {
      const Truth truth(network, structures[k]);
      Evaluation got = batch.part(all, k);
      got.nearest = truth.nearest;
      compare("structure " + std::to_string(k) + " of several, step " + std::to_string(step), dtype, truth, got);
    }
  }
  check(together->searches() > 3 && together->searches() < steps + 3, "structures together seek neighbours now and then");
}

void test_batch_errors()
{
  const TestNetwork network = local_network("float64");
  const auto device = make_device();
  const auto together = Dynamics::make(network.weights, network.metadata, *device);
  const transip::cuda::Wanted wanted{true, true, true, false, true};
  Batch batch({crystal(3), crystal(5)});
  check_error([&] { together->set_batch(std::span(batch.species).first(7), batch.parts); }, "8 atoms and 7 elements");
  check_error([&] { together->set_batch({}, {}); }, "0 atoms and 0 elements");
  std::vector<transip::cuda::BatchStructure> bad = batch.parts;
  bad[1].box = {{1, 0, 0, 1, 0, 0, 0, 0, 1}, {true, true, true}};
  check_error([&] { together->set_batch(batch.species, bad); }, "Structure 1 (counted from 0): The box has no volume");
  batch.evaluate(*together, wanted);
  check_error([&] { together->set_batch(batch.species, bad); }, "no volume");
  std::vector<double> positions = batch.positions;
  std::copy_n(positions.begin() + 12, 3, positions.begin() + 18);
  try {
    together->set_batch(batch.species, batch.parts);
    together->evaluate(positions, wanted);
    check(false, "two atoms at one position in a structure of several are refused");
  } catch (const transip::NotFinite &problem) {
    check(problem.row() == 4 || problem.row() == 6, "two atoms at one position: the row counts the atoms of all");
  }
  const TestNetwork all = seeing_network("float64");
  const auto molecules = Dynamics::make(all.weights, all.metadata, *device);
  check_error([&] { molecules->set_batch(batch.species, batch.parts); }, "attends all-to-all");
}

/// NVRTC takes seconds for a file: a first step has those compiled that it needs and no others.
void test_files_of_a_first_step()
{
  const auto files = [](const TestNetwork &network, const TestStructure &structure) {
    emulated::Device device;
    const auto dynamics = Dynamics::make(network.weights, network.metadata, device);
    dynamics->set_atoms(structure.species, 0, 1);
    if (network.metadata.cutoff) dynamics->set_box(periodicity(structure));
    dynamics->evaluate(structure.positions, {});
    return device.compiled;
  };
  using Files = std::vector<std::string>;
  check(files(seeing_network("float64"), molecule(2)) == Files{"search", "molecule"}, "files of a molecule's first step");
  check(files(local_network("float64"), crystal(2)) == Files{"search", "step", "totals"}, "files of a box's first step");
}

void test_errors()
{
  const TestNetwork network = local_network("float64");
  TestStructure structure = crystal();
  const auto device = make_device();
  const auto dynamics = Dynamics::make(network.weights, network.metadata, *device);
  check_error([&] { dynamics->evaluate(structure.positions, {}); }, "call set_atoms first");
  dynamics->set_atoms(structure.species, 0, 1);
  dynamics->set_box(periodicity(structure));
  check_error([&] { dynamics->evaluate(std::span(structure.positions).first(9), {}); }, "8 atoms and 9 coordinates");
  check_error([&] { dynamics->set_box({{1, 0, 0, 1, 0, 0, 0, 0, 1}, {true, true, true}}); }, "no volume");
  check_error([&] { dynamics->set_atoms(std::vector<std::int64_t>{92}, 0, 1); }, "does not know atomic number 92");
  check_error([&] { dynamics->set_atoms(structure.species, 5, 1); }, "does not know charge 5");
  std::vector<double> positions = structure.positions;
  std::copy_n(positions.begin() + 15, 3, positions.begin() + 9);
  try {
    dynamics->evaluate(positions, {});
    check(false, "two atoms at one position are refused");
  } catch (const transip::NotFinite &problem) {
    check(problem.row() == 3 || problem.row() == 5, "two atoms at one position: the row is one of them");
  }
  compare("after errors", "float64", Truth(network, structure), dynamics->evaluate(structure.positions, everything(network)));
  // What is no number comes out as no number, in finite time.
  positions = structure.positions;
  positions[4] = NAN;
  check(!std::isfinite(dynamics->evaluate(positions, {}).energy), "a place that is no number gives none");
  compare("after what is no number", "float64", Truth(network, structure),
          dynamics->evaluate(structure.positions, everything(network)));
  const TestNetwork all = seeing_network("float64");
  check_error([&] { Dynamics::make(all.weights, all.metadata, *device)->set_box(periodicity(structure)); },
              "attends all-to-all");
}

}  // namespace

int main(int count, char **arguments)
{
  std::vector<std::string> files(arguments + 1, arguments + count);
  const bool few = !files.empty() && files.front() == "--few";
  on_gpu = !files.empty() && files.front() == "--gpu";
  if (on_gpu) files.erase(files.begin());
  return checks::run([&] {
    if (few) {
      test_two_together();
      run_case("all to all, coordinates", seeing_network("float64", 1), molecule(2), true);
    }
    for (std::size_t i = 0; i + 1 < files.size(); i += 2)
      run_case(files[i].substr(files[i].rfind('/') + 1), read_network(files[i]), read_structure(files[i + 1]), true);
    if (files.empty()) {
      for (const std::string dtype : {"float64", "float32"}) {
        random_cases(dtype);
        test_slab(dtype);
        test_moves(dtype);
        TestStructure nothing = crystal();
        nothing.species.clear();
        nothing.positions.clear();
        test_batch(dtype, {crystal(), crystal(5), nothing, random_structure("one atom", 1, triclinic, {8}, 1), molecule(6),
                           random_structure("a long box", 12, {27, 0, 0, 0, 5.5, 0, 3, 0, 6}, {1, 8}, 4)});
        test_batch_moves(dtype);
      }
      test_batch_errors();
      test_members();
      test_rest();
      test_changes();
      test_files_of_a_first_step();
      test_errors();
    }
  });
}
