#include "CudaTransIPKernels.h"

#include "particles.h"
#include "particles_source.h"
#include "transip/units.h"

#include <openmm/common/ComputeForceInfo.h>
#include <openmm/common/ContextSelector.h>

namespace TransIPPlugin {

using OpenMM::ContextSelector;

namespace {

constexpr double angstrom = transip::units::angstrom_per_nm;
constexpr double force_unit = transip::units::kj_per_mol_per_ev * transip::units::angstrom_per_nm;

/// Which particles OpenMM may exchange when it sorts them in space, and which it has to move together.
class ForceInfo : public OpenMM::ComputeForceInfo {
 public:
  ForceInfo(int atoms, const std::vector<int> &particles, const std::vector<int> &atomic_numbers, bool whole)
      : number_of_(static_cast<std::size_t>(atoms), 0)
  {
    for (std::size_t i = 0; i < particles.size(); i++)
      number_of_[static_cast<std::size_t>(particles[i])] = atomic_numbers[i];
    if (whole) together_ = particles;
  }

  bool areParticlesIdentical(int particle1, int particle2) override
  {
    return number_of_[static_cast<std::size_t>(particle1)] == number_of_[static_cast<std::size_t>(particle2)];
  }
  int getNumParticleGroups() override { return together_.empty() ? 0 : 1; }
  void getParticlesInGroup(int, std::vector<int> &particles) override { particles = together_; }
  bool areGroupsIdentical(int group1, int group2) override { return group1 == group2; }

 private:
  std::vector<int> number_of_;  // of all atoms; 0: none of the force's
  std::vector<int> together_;
};

}  // namespace

void CudaCalcTransIPForceKernel::initialize(const OpenMM::System &system, const std::vector<int> &particles,
                                            const std::vector<int> &atomicNumbers, bool whole)
{
  ContextSelector selector(cu_);
  rows_ = static_cast<int>(particles.size());
  std::vector<int> row_of_atom(static_cast<std::size_t>(system.getNumParticles()), -1);
  for (int row = 0; row < rows_; row++)
    row_of_atom[static_cast<std::size_t>(particles[static_cast<std::size_t>(row)])] = row;
  row_of_atom_.initialize<int>(cu_, row_of_atom.size(), "transipRowOfAtom");
  row_of_atom_.upload(row_of_atom);
  cut_.initialize<int>(cu_, 1, "transipCut");
  CUmodule module = cu_.createModule(particles_source);
  take_positions_ = cu_.getKernel(module, "transip_take_positions");
  add_forces_ = cu_.getKernel(module, "transip_add_forces");
  find_cut_ = cu_.getKernel(module, "transip_find_cut");
  cu_.addForce(new ForceInfo(system.getNumParticles(), particles, atomicNumbers, whole));
}

void CudaCalcTransIPForceKernel::takePositions(double *positions)
{
  ContextSelector selector(cu_);
  CUdeviceptr correction = cu_.getUseMixedPrecision() ? cu_.getPosqCorrection().getDevicePointer() : 0;
  int slots = cu_.getNumAtoms();
  double scale = angstrom;
  void *arguments[] = {&cu_.getPosq().getDevicePointer(), &correction, &cu_.getAtomIndexArray().getDevicePointer(),
                       &row_of_atom_.getDevicePointer(), &slots, &scale, &positions};
  cu_.executeKernel(take_positions_, arguments, slots);
}

void CudaCalcTransIPForceKernel::startLookingForCut(const double *positions, const std::array<double, 9> &box,
                                                    double bonded)
{
  ContextSelector selector(cu_);
  cu_.clearBuffer(cut_);
  transip::openmm::Box vectors;
  for (std::size_t i = 0; i < box.size(); i++) vectors.vectors[i] = box[i];
  void *arguments[] = {&positions, &rows_, &vectors, &bonded, &cut_.getDevicePointer()};
  cu_.executeKernel(find_cut_, arguments, rows_);
  cut_.download(&is_cut_, false);
}

void CudaCalcTransIPForceKernel::addForces(const double *forces)
{
  ContextSelector selector(cu_);
  int slots = cu_.getNumAtoms(), padded = cu_.getPaddedNumAtoms();
  double scale = force_unit;
  void *arguments[] = {&forces, &cu_.getAtomIndexArray().getDevicePointer(), &row_of_atom_.getDevicePointer(), &slots,
                       &padded, &scale, &cu_.getForce().getDevicePointer()};
  cu_.executeKernel(add_forces_, arguments, slots);
}

}  // namespace TransIPPlugin
