#include "TransIPForceImpl.h"

#include "model_file.h"
#include "transip/error.h"
#include "transip/symmetry.h"
#include "transip/units.h"

#include <openmm/AndersenThermostat.h>
#include <openmm/BrownianIntegrator.h>
#include <openmm/LangevinIntegrator.h>
#include <openmm/LangevinMiddleIntegrator.h>
#include <openmm/NoseHooverIntegrator.h>
#include <openmm/OpenMMException.h>
#include <openmm/System.h>
#include <openmm/VariableLangevinIntegrator.h>
#include <openmm/internal/ContextImpl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <set>
#include <string>
#include <thread>

namespace TransIPPlugin {

using OpenMM::OpenMMException;
using OpenMM::Vec3;

namespace {

constexpr double kj_per_mol = transip::units::kj_per_mol_per_ev;
constexpr double angstrom = transip::units::angstrom_per_nm;
// Angstrom. A wider one has pairs searched anew more seldom, and looks at more of them at every step.
constexpr double skin = 1.0;
constexpr double bonded = 3.0;  // Angstrom: two atoms this close belong to one molecule

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

/// A molecule in a periodic surrounding of other particles is isolated; a whole periodic System is not.
void check_isolated(const TransIPForce &force, const OpenMM::System &system)
{
  const bool everything = force.getNumParticles() == system.getNumParticles();
  if (force.usesPeriodicBoundaryConditions() || (system.usesPeriodicBoundaryConditions() && everything))
    throw OpenMMException(
        "TransIPForce: the System is periodic, and this model attends all-to-all: it describes isolated molecules only. "
        "Use NoCutoff or CutoffNonPeriodic in the other forces, or a model with a cutoff.");
}

/// Something takes up the energy that random rotations bring.
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

/// Threads of OpenMM's own CPU platform.
int cpu_threads()
{
  const char *preset = std::getenv("OPENMM_CPU_THREADS");
  const int wanted = preset ? std::atoi(preset) : 0;
  return wanted > 0 ? wanted : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::array<double, 9> box_of(OpenMM::ContextImpl &context)
{
  Vec3 vectors[3];
  context.getPeriodicBoxVectors(vectors[0], vectors[1], vectors[2]);
  std::array<double, 9> box{};
  for (int row = 0; row < 3; row++)
    for (int d = 0; d < 3; d++) box[3 * row + d] = angstrom * vectors[row][d];
  return box;
}

}  // namespace

TransIPForceImpl::TransIPForceImpl(const TransIPForce &owner) : CustomCPPForceImpl(owner), owner_(owner) {}

void TransIPForceImpl::initialize(OpenMM::ContextImpl &context)
{
  CustomCPPForceImpl::initialize(context);
  particles_.resize(owner_.getNumParticles());
  species_.resize(particles_.size());
  for (std::size_t i = 0; i < particles_.size(); i++) {
    int number;
    owner_.getParticleParameters(static_cast<int>(i), particles_[i], number);
    species_[i] = number;
  }
  check_particles(owner_, particles_, context.getSystem());
  try {
    model_.emplace(find_model(owner_.getFile(), owner_.getSha256()), owner_.getDevice());
    if (owner_.getNumThreads() > 0 || model_->is_native())
      model_->set_threads(owner_.getNumThreads() > 0 ? owner_.getNumThreads() : cpu_threads());
    if (const auto cutoff = model_->metadata().cutoff)
      neighbours_.emplace(*cutoff, skin);
    else {
      check_isolated(owner_, context.getSystem());
      among_images_ = context.getSystem().usesPeriodicBoundaryConditions();
    }
    model_->check_charge(owner_.getCharge(), owner_.getMultiplicity());
    for (const std::int64_t number : species_) model_->check_species(static_cast<int>(number));
    prepare_symmetry(context);
  } catch (const transip::Error &problem) {
    throw OpenMMException(std::string("TransIPForce: ") + problem.what());
  }
  positions_.resize(3 * species_.size());
}

void TransIPForceImpl::prepare_symmetry(OpenMM::ContextImpl &context)
{
  const auto symmetry = transip::Symmetry::parse(owner_.getSymmetry());
  if (symmetry.mode == transip::Symmetry::Mode::random && !symmetry.forced && !has_thermostat(context))
    throw transip::Error("symmetry random brings energy at every step, and neither the integrator nor an "
                         "AndersenThermostat is there to take it up. Use LangevinMiddleIntegrator, symmetry average "
                         "N, or symmetry '" + symmetry.text() + " forced'.");
  model_->set_symmetry(symmetry);
  if (!model_->needs_reference()) return;
  const std::vector<Vec3> &positions = owner_.getReferencePositions();
  if (positions.size() != species_.size())
    throw transip::Error("symmetry frame wants a position of each of the " + std::to_string(species_.size()) +
                         " particles in its reference structure; got " + std::to_string(positions.size()) + ".");
  std::vector<double> reference;
  for (const Vec3 &position : positions)
    for (int d = 0; d < 3; d++) reference.push_back(angstrom * position[d]);
  model_->set_reference(species_, reference);
}

/// Which of the particles a row of the last evaluation belongs to.
std::size_t TransIPForceImpl::owner_of(std::size_t row) const
{
  return neighbours_ ? static_cast<std::size_t>(neighbours_->owner[row]) : row;
}

/// An all-to-all model takes positions as they are: a molecule that the box cuts in two would get a wrong energy.
void TransIPForceImpl::check_whole(OpenMM::ContextImpl &context) const
{
  const std::array<double, 9> box = box_of(context);
  const std::size_t count = species_.size();
  for (std::size_t i = 0; i < count; i++)
    for (std::size_t j = 0; j < i; j++) {
      std::array<double, 3> apart{};
      for (int d = 0; d < 3; d++) apart[d] = positions_[3 * i + d] - positions_[3 * j + d];
      std::array<double, 3> image = apart;
      // OpenMM's boxes are in their reduced form: c first, then b, then a.
      for (int row = 2; row >= 0; row--) {
        const double times = std::round(image[row] / box[3 * row + row]);
        for (int d = 0; d < 3; d++) image[d] -= times * box[3 * row + d];
      }
      const double here = std::hypot(apart[0], apart[1], apart[2]);
      const double nearest = std::hypot(image[0], image[1], image[2]);
      if (nearest < bonded && nearest < here - 1e-6)
        throw OpenMMException("TransIPForce: particles " + std::to_string(particles_[j]) + " and " +
                              std::to_string(particles_[i]) + " are " + std::to_string(nearest) +
                              " Angstrom apart through the periodic box but " + std::to_string(here) +
                              " in the Context, and this model attends all-to-all: it sees no periodic images. Give "
                              "positions in which the molecule is in one piece, or a larger box.");
    }
}

std::vector<std::pair<int, int>> TransIPForceImpl::getBondedParticles() const
{
  return bonds_of(owner_);
}

double TransIPForceImpl::calcForcesAndEnergy(OpenMM::ContextImpl &context, bool includeForces, bool includeEnergy,
                                             int groups)
{
  forces_wanted_ = includeForces;
  return CustomCPPForceImpl::calcForcesAndEnergy(context, includeForces, includeEnergy, groups);
}

double TransIPForceImpl::computeForce(OpenMM::ContextImpl &context, const std::vector<Vec3> &positions,
                                      std::vector<Vec3> &forces)
{
  for (std::size_t row = 0; row < particles_.size(); row++)
    for (int d = 0; d < 3; d++) positions_[3 * row + d] = angstrom * positions[particles_[row]][d];
  if (among_images_) check_whole(context);

  transip::Request request;
  request.species = species_;
  request.positions = positions_;
  request.charge = owner_.getCharge();
  request.multiplicity = owner_.getMultiplicity();
  request.step = static_cast<std::uint64_t>(context.getStepCount());
  try {
    // Not where the model is loaded: Python holds its lock there, and then torch does not differentiate.
    if (!checked_) model_->check_reference();
    checked_ = true;
    if (neighbours_) {
      const bool periodic = owner_.usesPeriodicBoundaryConditions();
      neighbours_->find(positions_, box_of(context), {periodic, periodic, periodic});
      request.positions = neighbours_->positions;
      request.owner = neighbours_->owner;
      request.first = neighbours_->first;
      request.neighbours = neighbours_->neighbours;
    }
    model_->evaluate(request, result_, forces_wanted_);
  } catch (const transip::NotFinite &problem) {
    throw OpenMMException(std::string("TransIPForce: ") + problem.what() + ", for particle " +
                          std::to_string(particles_[owner_of(problem.row())]) + ".");
  } catch (const transip::Error &problem) {
    throw OpenMMException(std::string("TransIPForce: ") + problem.what());
  }

  std::fill(forces.begin(), forces.end(), Vec3());
  for (std::size_t row = 0; row < result_.forces.size() / 3; row++)
    for (int d = 0; d < 3; d++)
      forces[particles_[owner_of(row)]][d] += kj_per_mol * angstrom * result_.forces[3 * row + d];
  return kj_per_mol * result_.energy;
}

}  // namespace TransIPPlugin
