#include "context_checks.h"

#include "transip/units.h"

#include <openmm/AndersenThermostat.h>
#include <openmm/BrownianIntegrator.h>
#include <openmm/LangevinIntegrator.h>
#include <openmm/LangevinMiddleIntegrator.h>
#include <openmm/NoseHooverIntegrator.h>
#include <openmm/OpenMMException.h>
#include <openmm/VariableLangevinIntegrator.h>

#include <cmath>
#include <set>
#include <string>

namespace TransIPPlugin {

using OpenMM::OpenMMException;
using OpenMM::Vec3;

std::vector<std::pair<int, int>> bonds_of(const TransIPForce &force)
{
  std::vector<std::pair<int, int>> bonds(force.getNumBonds());
  for (int i = 0; i < force.getNumBonds(); i++) force.getBondParameters(i, bonds[i].first, bonds[i].second);
  return bonds;
}

void check_particles(const TransIPForce &force, const std::vector<int> &particles, const OpenMM::System &system)
{
  std::set<int> seen;
  for (int index : particles) {
    if (index < 0 || index >= system.getNumParticles())
      throw OpenMMException("TransIPForce: particle index " + std::to_string(index) + " is not in the System, which has " +
                            std::to_string(system.getNumParticles()) + " particles.");
    if (!seen.insert(index).second)
      throw OpenMMException("TransIPForce: particle " + std::to_string(index) + " was added twice.");
  }
  for (const auto &[first, second] : bonds_of(force))
    for (int index : {first, second})
      if (!seen.contains(index))
        throw OpenMMException("TransIPForce: a bond has particle " + std::to_string(index) +
                              ", which is none of the force's.");
}

void check_isolated(const TransIPForce &force, const OpenMM::System &system)
{
  const bool everything = force.getNumParticles() == system.getNumParticles();
  if (force.usesPeriodicBoundaryConditions() || (system.usesPeriodicBoundaryConditions() && everything))
    throw OpenMMException(
        "TransIPForce: the System is periodic, and this model attends all-to-all: it describes isolated molecules only. "
        "Use NoCutoff or CutoffNonPeriodic in the other forces, or a model with a cutoff.");
}

void check_whole(const std::vector<int> &particles, std::span<const double> positions, const std::array<double, 9> &box)
{
  const std::size_t count = particles.size();
  for (std::size_t i = 0; i < count; i++)
    for (std::size_t j = 0; j < i; j++) {
      std::array<double, 3> apart{};
      for (int d = 0; d < 3; d++) apart[d] = positions[3 * i + d] - positions[3 * j + d];
      std::array<double, 3> image = apart;
      // OpenMM's boxes are in their reduced form: c first, then b, then a.
      for (int row = 2; row >= 0; row--) {
        const double times = std::round(image[row] / box[3 * row + row]);
        for (int d = 0; d < 3; d++) image[d] -= times * box[3 * row + d];
      }
      const double here = std::hypot(apart[0], apart[1], apart[2]);
      const double nearest = std::hypot(image[0], image[1], image[2]);
      if (nearest < bonded && nearest < here - 1e-6)
        throw OpenMMException("TransIPForce: particles " + std::to_string(particles[j]) + " and " +
                              std::to_string(particles[i]) + " are " + std::to_string(nearest) +
                              " Angstrom apart through the periodic box but " + std::to_string(here) +
                              " in the Context, and this model attends all-to-all: it sees no periodic images. Give "
                              "positions in which the molecule is in one piece, or a larger box.");
    }
}

bool has_thermostat(OpenMM::ContextImpl &context)
{
  const OpenMM::Integrator *integrator = &context.getIntegrator();
  const auto *chain = dynamic_cast<const OpenMM::NoseHooverIntegrator *>(integrator);
  if (chain && chain->getNumThermostats() > 0) return true;
  if (dynamic_cast<const OpenMM::LangevinMiddleIntegrator *>(integrator) ||
      dynamic_cast<const OpenMM::LangevinIntegrator *>(integrator) ||
      dynamic_cast<const OpenMM::VariableLangevinIntegrator *>(integrator) ||
      dynamic_cast<const OpenMM::BrownianIntegrator *>(integrator))
    return true;
  const OpenMM::System &system = context.getSystem();
  for (int i = 0; i < system.getNumForces(); i++)
    if (dynamic_cast<const OpenMM::AndersenThermostat *>(&system.getForce(i))) return true;
  return false;
}

std::array<double, 9> box_of(OpenMM::ContextImpl &context)
{
  Vec3 vectors[3];
  context.getPeriodicBoxVectors(vectors[0], vectors[1], vectors[2]);
  std::array<double, 9> box{};
  for (int row = 0; row < 3; row++)
    for (int d = 0; d < 3; d++) box[3 * row + d] = transip::units::angstrom_per_nm * vectors[row][d];
  return box;
}

}  // namespace TransIPPlugin
