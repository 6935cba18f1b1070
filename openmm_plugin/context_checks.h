// What a Context must be like for a TransIPForce. All throw OpenMMException.
#pragma once

#include "TransIPForce.h"

#include <openmm/System.h>
#include <openmm/internal/ContextImpl.h>

#include <array>
#include <span>
#include <utility>
#include <vector>

namespace TransIPPlugin {

/// Angstrom: two atoms this close belong to one molecule.
constexpr double bonded = 3.0;

/// The force's bonds, by index in the System.
std::vector<std::pair<int, int>> bonds_of(const TransIPForce &force);

/// Throw if a particle of the force is not in the System or was added twice, or a bond has one that is not the force's.
void check_particles(const TransIPForce &force, const std::vector<int> &particles, const OpenMM::System &system);

/// Throw if a model without a cutoff would describe a periodic System. A molecule in a periodic surrounding of other
/// particles is isolated; a whole periodic System is not.
void check_isolated(const TransIPForce &force, const OpenMM::System &system);

/// Throw if the box cuts the molecule in two: a model without a cutoff takes positions as they are, and its energy would
/// be wrong. particles: by index in the System. positions: [N*3] Angstrom. box: three vectors, Angstrom.
void check_whole(const std::vector<int> &particles, std::span<const double> positions, const std::array<double, 9> &box);

/// Whether something takes up the energy that random rotations bring.
bool has_thermostat(OpenMM::ContextImpl &context);

/// Three vectors of the periodic box, one after another, Angstrom.
std::array<double, 9> box_of(OpenMM::ContextImpl &context);

}  // namespace TransIPPlugin
