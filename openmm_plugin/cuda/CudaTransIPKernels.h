// A TransIPForce's particles in the arrays of OpenMM's CUDA platform.
#pragma once

#include "TransIPKernels.h"

#include <openmm/cuda/CudaArray.h>
#include <openmm/cuda/CudaContext.h>

namespace TransIPPlugin {

class CudaCalcTransIPForceKernel : public CalcTransIPForceKernel {
 public:
  CudaCalcTransIPForceKernel(const std::string &name, const OpenMM::Platform &platform, OpenMM::CudaContext &cu)
      : CalcTransIPForceKernel(name, platform), cu_(cu)
  {
  }

  void initialize(const OpenMM::System &system, const std::vector<int> &particles, const std::vector<int> &atomicNumbers,
                  bool whole) override;
  int getDeviceIndex() const override { return cu_.getDeviceIndex(); }
  void *getCudaContext() override { return cu_.getContext(); }
  void *getStream() override { return cu_.getCurrentStream(); }
  void takePositions(double *positions) override;
  void startLookingForCut(const double *positions, const std::array<double, 9> &box, double bonded) override;
  bool getIsCut() const override { return is_cut_ != 0; }
  void addForces(const double *forces) override;

 private:
  OpenMM::CudaContext &cu_;
  int rows_ = 0;                // particles of the force
  int is_cut_ = 0;              // what the device found last
  OpenMM::CudaArray row_of_atom_, cut_;
  CUfunction take_positions_ = nullptr, add_forces_ = nullptr, find_cut_ = nullptr;
};

}  // namespace TransIPPlugin
