#include "TransIPForceImpl.h"

#include "transip/error.h"
#include "transip/units.h"

#include <openmm/OpenMMException.h>
#include <openmm/System.h>
#include <openmm/internal/ContextImpl.h>

#include <array>
#include <set>
#include <string>

namespace TransIPPlugin {

using OpenMM::OpenMMException;
using OpenMM::Vec3;

namespace {

constexpr double kj_per_mol = transip::units::kj_per_mol_per_ev;
constexpr double angstrom = transip::units::angstrom_per_nm;
constexpr double skin = 0.5;  // Angstrom: pairs of water at 300 K are then searched anew about every 20 fs

void check_particles(const TransIPForce &force, const OpenMM::System &system)
{
  std::set<int> seen;
  for (int index : force.particles()) {
    if (index < 0 || index >= system.getNumParticles())
      throw OpenMMException("TransIPForce: particle index " + std::to_string(index) + " is not in the System, which has " +
                            std::to_string(system.getNumParticles()) + " particles.");
    if (!seen.insert(index).second)
      throw OpenMMException("TransIPForce: particle " + std::to_string(index) + " was added twice.");
  }
}

void check_isolated(const TransIPForce &force, const OpenMM::System &system)
{
  if (system.usesPeriodicBoundaryConditions() || force.usesPeriodicBoundaryConditions())
    throw OpenMMException(
        "TransIPForce: the System is periodic, and this model attends all-to-all: it describes isolated molecules only. "
        "Use NoCutoff or CutoffNonPeriodic in the other forces, or a model with a cutoff.");
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
  check_particles(owner_, context.getSystem());
  try {
    if (owner_.threads() > 0) transip::set_threads(owner_.threads());
    model_.emplace(owner_.file(), owner_.device());
    if (const auto cutoff = model_->metadata().cutoff)
      neighbours_.emplace(*cutoff, skin);
    else
      check_isolated(owner_, context.getSystem());
    model_->check_charge(owner_.charge(), owner_.multiplicity());
    for (int number : owner_.atomic_numbers()) model_->check_species(number);
  } catch (const transip::Error &problem) {
    throw OpenMMException(std::string("TransIPForce: ") + problem.what());
  }
  species_.assign(owner_.atomic_numbers().begin(), owner_.atomic_numbers().end());
  positions_.resize(3 * species_.size());
}

/// Which of the particles a row of the last evaluation belongs to.
std::size_t TransIPForceImpl::owner_of(std::size_t row) const
{
  return neighbours_ ? static_cast<std::size_t>(neighbours_->owner[row]) : row;
}

double TransIPForceImpl::computeForce(OpenMM::ContextImpl &context, const std::vector<Vec3> &positions,
                                      std::vector<Vec3> &forces)
{
  const std::vector<int> &particles = owner_.particles();
  for (std::size_t row = 0; row < particles.size(); row++)
    for (int d = 0; d < 3; d++) positions_[3 * row + d] = angstrom * positions[particles[row]][d];

  transip::Request request;
  request.species = species_;
  request.positions = positions_;
  request.charge = owner_.charge();
  request.multiplicity = owner_.multiplicity();
  try {
    // Not where the model is loaded: Python holds its lock there, and then torch does not differentiate.
    if (!checked_) model_->check_reference();
    checked_ = true;
    if (neighbours_) {
      neighbours_->find(positions_, box_of(context), owner_.usesPeriodicBoundaryConditions());
      request.positions = neighbours_->positions;
      request.owner = neighbours_->owner;
      request.neighbours = neighbours_->neighbours;
    }
    model_->evaluate(request, result_);
  } catch (const transip::NotFinite &problem) {
    throw OpenMMException(std::string("TransIPForce: ") + problem.what() + ", for particle " +
                          std::to_string(particles[owner_of(problem.row())]) + ".");
  } catch (const transip::Error &problem) {
    throw OpenMMException(std::string("TransIPForce: ") + problem.what());
  }

  std::fill(forces.begin(), forces.end(), Vec3());
  for (std::size_t row = 0; row < result_.forces.size() / 3; row++)
    for (int d = 0; d < 3; d++)
      forces[particles[owner_of(row)]][d] += kj_per_mol * angstrom * result_.forces[3 * row + d];
  return kj_per_mol * result_.energy;
}

}  // namespace TransIPPlugin
