#include "DeviceEvaluation.h"

#include "context_checks.h"
#include "cuda/device_source.h"
#include "transip/error.h"
#include "transip/units.h"

#include <openmm/OpenMMException.h>

#include <dlfcn.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <string>

namespace TransIPPlugin {

namespace {

std::atomic<int> on_device = 0;

/// Have the library beside this one register its kernels. Without it there is nothing to report: forces are evaluated as
/// on every other platform.
bool register_cuda_kernels()
{
  Dl_info here{};
  if (dladdr(reinterpret_cast<const void *>(&register_cuda_kernels), &here) == 0 || !here.dli_fname) return false;
  const auto file = std::filesystem::path(here.dli_fname).parent_path() / "libOpenMMTransIPCUDA.so";
  void *library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  void *symbol = library ? dlsym(library, "registerKernelFactories") : nullptr;
  if (!symbol) return false;
  reinterpret_cast<void (*)()>(symbol)();
  return true;
}

}  // namespace

std::optional<OpenMM::Kernel> cuda_kernel(OpenMM::ContextImpl &context)
{
  OpenMM::Platform &platform = context.getPlatform();
  if (platform.getName() != "CUDA") return std::nullopt;
  const std::vector<std::string> name{CalcTransIPForceKernel::Name()};
  if (!platform.supportsKernels(name)) {
    // Once, found or not.
    static const bool registered = register_cuda_kernels();
    if (!registered || !platform.supportsKernels(name)) return std::nullopt;
  }
  return platform.createKernel(CalcTransIPForceKernel::Name(), context);
}

DeviceEvaluation::DeviceEvaluation(OpenMM::Kernel kernel, const Particles &particles)
    : kernel_(kernel), particles_(particles)
{
  on_device++;
}

DeviceEvaluation::~DeviceEvaluation()
{
  on_device--;
}

std::unique_ptr<DeviceEvaluation> DeviceEvaluation::make(OpenMM::Kernel kernel, const transip::Model &model,
                                                         const TransIPForce &force, const Particles &particles,
                                                         bool isolated, OpenMM::ContextImpl &context)
{
  if (!model.evaluates_structures()) return nullptr;
  std::unique_ptr<DeviceEvaluation> made(new DeviceEvaluation(kernel, particles));
  CalcTransIPForceKernel &arrays = made->kernel();
  if (model.device() != "cuda:" + std::to_string(arrays.getDeviceIndex())) return nullptr;
  made->device_ = transip::cuda::device_source().borrow(arrays.getCudaContext(), arrays.getStream());
  made->dynamics_ = model.make_dynamics(*made->device_);
  made->periodic_ = force.usesPeriodicBoundaryConditions();
  made->isolated_ = isolated;
  made->dynamics_->set_atoms(particles.species, force.getCharge(), force.getMultiplicity());
  const std::vector<int> numbers(particles.species.begin(), particles.species.end());
  arrays.initialize(context.getSystem(), particles.indices, numbers, !made->periodic_);
  return made;
}

double DeviceEvaluation::evaluate(OpenMM::ContextImpl &context, bool forces)
{
  if (particles_.indices.empty()) return 0.0;
  CalcTransIPForceKernel &arrays = kernel();
  device_->set_stream(arrays.getStream());
  if (periodic_) dynamics_->set_box({box_of(context), {true, true, true}});
  double *positions = dynamics_->device_positions();
  arrays.takePositions(positions);
  if (isolated_) arrays.startLookingForCut(positions, box_of(context), bonded);
  // Waits for the stream, and so for what was looked for.
  const transip::cuda::Evaluation &found = dynamics_->evaluate_on_device({.forces = forces});
  if (isolated_ && arrays.getIsCut()) check_cut(context);
  if (!std::isfinite(found.energy))
    throw transip::Error("The model gave an energy that is not finite (NaN or infinity).");
  if (forces) arrays.addForces(dynamics_->device_forces());
  return transip::units::kj_per_mol_per_ev * found.energy;
}

/// The device looks at every step, and the host only where something was found: it reports what.
void DeviceEvaluation::check_cut(OpenMM::ContextImpl &context)
{
  std::vector<OpenMM::Vec3> all;
  context.getPositions(all);
  std::vector<double> positions;
  for (const int index : particles_.indices)
    for (int x = 0; x < 3; x++)
      positions.push_back(transip::units::angstrom_per_nm * all[static_cast<std::size_t>(index)][x]);
  check_whole(particles_.indices, positions, box_of(context));
}

}  // namespace TransIPPlugin

int transip_openmm_forces_on_device()
{
  return TransIPPlugin::on_device;
}
