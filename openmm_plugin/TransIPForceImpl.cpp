#include "TransIPForceImpl.h"

#include "context_checks.h"
#include "model_file.h"
#include "transip/error.h"
#include "transip/symmetry.h"
#include "transip/units.h"

#include <openmm/OpenMMException.h>
#include <openmm/internal/ContextImpl.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
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

/// Threads of OpenMM's own CPU platform.
int cpu_threads()
{
  const char *preset = std::getenv("OPENMM_CPU_THREADS");
  const int wanted = preset ? std::atoi(preset) : 0;
  return wanted > 0 ? wanted : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace

TransIPForceImpl::TransIPForceImpl(const TransIPForce &owner) : CustomCPPForceImpl(owner), owner_(owner) {}

void TransIPForceImpl::initialize(OpenMM::ContextImpl &context)
{
  for (int i = 0; i < owner_.getNumParticles(); i++) {
    int index, number;
    owner_.getParticleParameters(i, index, number);
    particles_.indices.push_back(index);
    particles_.species.push_back(number);
  }
  check_particles(owner_, particles_.indices, context.getSystem());
  try {
    load_model(context);
    prepare_symmetry(context);
  } catch (const transip::Error &problem) {
    throw OpenMMException(std::string("TransIPForce: ") + problem.what());
  }
  if (on_device_) return;
  positions_.resize(3 * particles_.species.size());
  // Its kernel takes part in every evaluation of a Context, so it is not there beside another.
  CustomCPPForceImpl::initialize(context);
  const std::string &platform = context.getPlatform().getName();
  told_before_ = platform == "Reference" || platform == "CPU";
}

void TransIPForceImpl::load_model(OpenMM::ContextImpl &context)
{
  std::optional<OpenMM::Kernel> kernel = cuda_kernel(context);
  std::string device = owner_.getDevice();
  if (kernel && device == "cuda")
    device.append(1, ':').append(std::to_string(kernel->getAs<CalcTransIPForceKernel>().getDeviceIndex()));
  model_.emplace(find_model(owner_.getFile(), owner_.getSha256()), device);
  if (owner_.getNumThreads() > 0 || model_->is_native())
    model_->set_threads(owner_.getNumThreads() > 0 ? owner_.getNumThreads() : cpu_threads());
  if (const auto cutoff = model_->metadata().cutoff)
    neighbours_.emplace(*cutoff, skin,
                        model_->is_native() ? transip::Neighbours::Reach::skin : transip::Neighbours::Reach::cutoff);
  else {
    check_isolated(owner_, context.getSystem());
    among_images_ = context.getSystem().usesPeriodicBoundaryConditions();
  }
  model_->check_charge(owner_.getCharge(), owner_.getMultiplicity());
  for (const std::int64_t number : particles_.species) model_->check_species(static_cast<int>(number));
  if (kernel && owner_.getSymmetry() == "none")
    on_device_ = DeviceEvaluation::make(*kernel, *model_, owner_, particles_, among_images_, context);
}

void TransIPForceImpl::prepare_symmetry(OpenMM::ContextImpl &context)
{
  const auto symmetry = transip::Symmetry::parse(owner_.getSymmetry());
  if (symmetry.needs_thermostat() && !has_thermostat(context))
    throw transip::Error("symmetry random brings energy at every step, and neither the integrator nor an "
                         "AndersenThermostat is there to take it up. Use LangevinMiddleIntegrator, symmetry average "
                         "N, or symmetry '" + symmetry.text() + " forced'.");
  model_->set_symmetry(symmetry);
  if (!model_->needs_reference()) return;
  const std::vector<Vec3> &positions = owner_.getReferencePositions();
  if (positions.size() != particles_.species.size())
    throw transip::Error("symmetry frame wants a position of each of the " + std::to_string(particles_.species.size()) +
                         " particles in its reference structure; got " + std::to_string(positions.size()) + ".");
  std::vector<double> reference;
  for (const Vec3 &position : positions)
    for (int d = 0; d < 3; d++) reference.push_back(angstrom * position[d]);
  model_->set_reference(particles_.species, reference);
}

/// Which of the particles a row of the last evaluation belongs to.
std::size_t TransIPForceImpl::owner_of(std::size_t row) const
{
  return neighbours_ ? static_cast<std::size_t>(neighbours_->owner[row]) : row;
}

std::vector<std::pair<int, int>> TransIPForceImpl::getBondedParticles() const
{
  return bonds_of(owner_);
}

double TransIPForceImpl::calcForcesAndEnergy(OpenMM::ContextImpl &context, bool includeForces, bool includeEnergy,
                                             int groups)
{
  if (!on_device_) {
    forces_wanted_ = includeForces || !told_before_;
    return CustomCPPForceImpl::calcForcesAndEnergy(context, includeForces, includeEnergy, groups);
  }
  if ((groups & (1 << owner_.getForceGroup())) == 0) return 0.0;
  try {
    check_model();
    return on_device_->evaluate(context, includeForces);
  } catch (const transip::NotFinite &problem) {
    throw OpenMMException(std::string("TransIPForce: ") + problem.what() + ", for particle " +
                          std::to_string(particles_.indices[problem.row()]) + ".");
  } catch (const transip::Error &problem) {
    throw OpenMMException(std::string("TransIPForce: ") + problem.what());
  }
}

void TransIPForceImpl::check_model()
{
  // Not where the model is loaded: Python holds its lock there, and then torch does not differentiate.
  if (!checked_) model_->check_reference();
  checked_ = true;
}

double TransIPForceImpl::computeForce(OpenMM::ContextImpl &context, const std::vector<Vec3> &positions,
                                      std::vector<Vec3> &forces)
{
  for (std::size_t row = 0; row < particles_.indices.size(); row++)
    for (int d = 0; d < 3; d++) positions_[3 * row + d] = angstrom * positions[particles_.indices[row]][d];
  if (among_images_) check_whole(particles_.indices, positions_, box_of(context));

  transip::Request request;
  request.species = particles_.species;
  request.positions = positions_;
  request.charge = owner_.getCharge();
  request.multiplicity = owner_.getMultiplicity();
  request.step = static_cast<std::uint64_t>(context.getStepCount());
  try {
    check_model();
    if (neighbours_) {
      const bool periodic = owner_.usesPeriodicBoundaryConditions();
      neighbours_->find(positions_, box_of(context), {periodic, periodic, periodic}, model_->workers());
      request.positions = neighbours_->positions;
      request.owner = neighbours_->owner;
      request.first = neighbours_->first;
      request.neighbours = neighbours_->neighbours;
    }
    model_->evaluate(request, result_, forces_wanted_);
  } catch (const transip::NotFinite &problem) {
    throw OpenMMException(std::string("TransIPForce: ") + problem.what() + ", for particle " +
                          std::to_string(particles_.indices[owner_of(problem.row())]) + ".");
  } catch (const transip::Error &problem) {
    throw OpenMMException(std::string("TransIPForce: ") + problem.what());
  }

  std::fill(forces.begin(), forces.end(), Vec3());
  for (std::size_t row = 0; row < result_.forces.size() / 3; row++)
    for (int d = 0; d < 3; d++)
      forces[particles_.indices[owner_of(row)]][d] += kj_per_mol * angstrom * result_.forces[3 * row + d];
  return kj_per_mol * result_.energy;
}

}  // namespace TransIPPlugin
