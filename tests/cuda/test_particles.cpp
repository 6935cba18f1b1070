// The kernels between OpenMM's arrays and a TransIPForce (openmm_plugin/cuda/particles.cuh) under the emulator, against
// plain loops over the particles: every precision, any order of the atoms, some of the particles, any grid.
//
// --few: one case, for ThreadSanitizer.

#include "checks.h"
#include "cuda_on_cpu.h"

struct float4 {
  float x, y, z, w;
};
struct double4 {
  double x, y, z, w;
};

#include "cuda/particles.cuh"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace {

using checks::check;
namespace kernels = transip::openmm;

enum class Precision { single, mixed, double_ };

/// A Context's arrays as OpenMM's CUDA platform has them: particles in slots, in any order, padded to tiles of 32.
struct Context {
  Context(int atoms, bool shuffled, Precision precision, unsigned seed)
      : random(seed), atoms(atoms), padded(32 * ((atoms + 31) / 32)), precision(precision)
  {
    std::uniform_real_distribution<double> nm(-30.0, 30.0);
    for (int i = 0; i < 3 * atoms; i++) positions.push_back(nm(random));
    atom_of_slot.resize(static_cast<std::size_t>(padded));
    std::iota(atom_of_slot.begin(), atom_of_slot.end(), 0);
    if (shuffled) std::shuffle(atom_of_slot.begin(), atom_of_slot.begin() + atoms, random);
    for (int slot = 0; slot < padded; slot++) {
      // What is behind the last atom must not be read: its atom is none.
      const int atom = slot < atoms ? atom_of_slot[static_cast<std::size_t>(slot)] : 0;
      const double *r = positions.data() + 3 * atom;
      const float4 rounded{static_cast<float>(r[0]), static_cast<float>(r[1]), static_cast<float>(r[2]), 0.5f};
      posq_single.push_back(rounded);
      correction.push_back({static_cast<float>(r[0] - rounded.x), static_cast<float>(r[1] - rounded.y),
                            static_cast<float>(r[2] - rounded.z), 0.0f});
      posq_double.push_back({r[0], r[1], r[2], 0.5});
    }
    std::uniform_int_distribution<long long> bits(-(1ll << 40), 1ll << 40);
    for (int i = 0; i < 3 * padded; i++) force.push_back(static_cast<unsigned long long>(bits(random)));
  }

  /// The position that the arrays hold, nm.
  double position(int atom, int x) const
  {
    const double exact = positions[static_cast<std::size_t>(3 * atom + x)];
    const float rounded = static_cast<float>(exact);
    if (precision == Precision::single) return rounded;
    if (precision == Precision::double_) return exact;
    return static_cast<double>(rounded) + static_cast<double>(static_cast<float>(exact - rounded));
  }

  std::mt19937 random;
  int atoms, padded;
  Precision precision;
  std::vector<double> positions;
  std::vector<int> atom_of_slot;
  std::vector<float4> posq_single, correction;
  std::vector<double4> posq_double;
  std::vector<unsigned long long> force;
};

/// Particles of the force, in an order of their own.
std::vector<int> particles_of(Context &context, bool all)
{
  std::vector<int> particles(static_cast<std::size_t>(context.atoms));
  std::iota(particles.begin(), particles.end(), 0);
  std::shuffle(particles.begin(), particles.end(), context.random);
  if (!all) particles.resize(particles.size() / 3);
  return particles;
}

void run(unsigned blocks, unsigned threads, unsigned seed, const std::function<void()> &body)
{
  emulator::run({blocks, 1, 1}, threads, seed, body);
}

void test_positions_and_forces(int atoms, bool shuffled, bool all, Precision precision, unsigned blocks, unsigned threads)
{
  const std::string name = std::to_string(atoms) + (shuffled ? " atoms in another order" : " atoms") +
                           (all ? "" : ", a third of them") + ", precision " +
                           std::to_string(static_cast<int>(precision)) + ", blocks " + std::to_string(blocks);
  Context context(atoms, shuffled, precision, static_cast<unsigned>(atoms) + blocks);
  const std::vector<int> particles = particles_of(context, all);
  std::vector<int> row_of_atom(static_cast<std::size_t>(atoms), -1);
  for (std::size_t row = 0; row < particles.size(); row++)
    row_of_atom[static_cast<std::size_t>(particles[row])] = static_cast<int>(row);

  constexpr double nm = 10.0, force_unit = 964.8533212;
  std::vector<double> taken(3 * particles.size(), std::nan(""));
  run(blocks, threads, 1, [&] {
    if (precision == Precision::double_)
      kernels::take_positions(context.posq_double.data(), static_cast<const float4 *>(nullptr),
                              context.atom_of_slot.data(), row_of_atom.data(), atoms, nm, taken.data());
    else
      kernels::take_positions(context.posq_single.data(),
                              precision == Precision::mixed ? context.correction.data() : nullptr,
                              context.atom_of_slot.data(), row_of_atom.data(), atoms, nm, taken.data());
  });
  bool same = true;
  for (std::size_t row = 0; row < particles.size(); row++)
    for (int x = 0; x < 3; x++)
      same = same && taken[3 * row + static_cast<std::size_t>(x)] == nm * context.position(particles[row], x);
  check(same, name + ": positions");
  // What the precision leaves of the position that was set, Angstrom, 300 from the origin.
  const double allowed = precision == Precision::single ? 2e-5 : precision == Precision::mixed ? 2e-12 : 1e-13;
  double off = 0.0;
  for (std::size_t i = 0; i < taken.size(); i++)
    off = std::max(off, std::abs(taken[i] - nm * context.positions[static_cast<std::size_t>(3 * particles[i / 3]) + i % 3]));
  check(off <= allowed, name + ": positions are off by " + std::to_string(off * 1e12) + "e-12 Angstrom");

  std::uniform_real_distribution<double> ev(-40.0, 40.0);
  std::vector<double> forces;
  for (std::size_t i = 0; i < taken.size(); i++) forces.push_back(ev(context.random));
  std::vector<unsigned long long> wanted = context.force, got = context.force, again = context.force;
  for (int slot = 0; slot < atoms; slot++)
    for (std::size_t row = 0; row < particles.size(); row++)
      if (particles[row] == context.atom_of_slot[static_cast<std::size_t>(slot)])
        for (int x = 0; x < 3; x++)
          wanted[static_cast<std::size_t>(slot + x * context.padded)] += static_cast<unsigned long long>(
              std::llround(forces[3 * row + static_cast<std::size_t>(x)] * force_unit * std::ldexp(1.0, 32)));
  unsigned seed = 7;
  for (auto *buffer : {&got, &again})
    run(blocks, threads, seed++, [&] {
      kernels::add_forces(forces.data(), context.atom_of_slot.data(), row_of_atom.data(), atoms, context.padded,
                          force_unit, buffer->data());
    });
  long long worst = 0;
  for (std::size_t i = 0; i < wanted.size(); i++)
    worst = std::max(worst, std::abs(static_cast<long long>(got[i] - wanted[i])));
  check(worst <= 1, name + ": forces differ by " + std::to_string(worst) + " of the last place");
  check(got == again, name + ": forces, other bits in another order of threads");
}

/// A chain of atoms 1.4 Angstrom apart along a diagonal, in a triclinic box that is longer than the chain.
void test_cut(unsigned blocks)
{
  constexpr int atoms = 20;
  const kernels::Box box{{40.0, 0.0, 0.0, 9.0, 38.0, 0.0, -11.0, 7.0, 36.0}};
  std::vector<double> chain;
  for (int i = 0; i < atoms; i++)
    for (int x = 0; x < 3; x++) chain.push_back(1.4 * i / std::sqrt(3.0) - 3.0 * x);
  const auto found = [&](const std::vector<double> &positions, const kernels::Box &vectors) {
    int cut = 0;
    run(blocks, 32, 3, [&] { kernels::find_cut(positions.data(), atoms, vectors, 3.0, &cut); });
    return cut == 1;
  };
  check(!found(chain, box), "a molecule in one piece");
  // Some boxes away: only in the right order of the vectors the nearest image is found.
  constexpr double boxes[3] = {1.0, -2.0, 3.0};
  for (int vector = 0; vector < 3; vector++) {
    std::vector<double> moved = chain;
    for (int i = 7; i < atoms; i++)
      for (int x = 0; x < 3; x++)
        moved[static_cast<std::size_t>(3 * i + x)] += boxes[vector] * box.vectors[3 * vector + x];
    check(found(moved, box), "a molecule cut along vector " + std::to_string(vector));
  }
  const kernels::Box small{{9.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 9.0}};
  check(found(chain, small), "a box too small for the molecule");
}

}  // namespace

int main(int count, char **)
{
  const bool few = count > 1;
  return checks::run([&] {
    if (few) test_positions_and_forces(33, true, false, Precision::mixed, 3, 32);
    for (const int atoms : few ? std::vector<int>{} : std::vector<int>{1, 33, 200})
      for (const bool shuffled : {false, true})
        for (const bool all : {false, true})
          for (const Precision precision : {Precision::single, Precision::mixed, Precision::double_})
            for (const unsigned blocks : {1u, 3u, 9u})
              test_positions_and_forces(atoms, shuffled, all, precision, blocks, 64);
    test_cut(2);
    if (!few) test_cut(1);
  });
}
