// What a platform has to do so that a TransIPForce works on its own arrays.
#pragma once

#include <openmm/KernelImpl.h>
#include <openmm/Platform.h>
#include <openmm/System.h>

#include <array>
#include <string>
#include <vector>

namespace TransIPPlugin {

/**
 * This kernel brings the positions of a TransIPForce's particles out of a platform's arrays, and its forces into them.
 * The energy is a return value of ForceImpl::calcForcesAndEnergy(). Pointers are to the memory of the platform's device.
 */
class __attribute__((visibility("default"))) CalcTransIPForceKernel : public OpenMM::KernelImpl {
 public:
  static std::string Name() { return "CalcTransIPForce"; }

  CalcTransIPForceKernel(const std::string &name, const OpenMM::Platform &platform) : KernelImpl(name, platform) {}

  /**
   * Initialize the kernel.
   *
   * @param system           the System
   * @param particles        the index in the System of each particle of the force
   * @param atomicNumbers    the atomic number of each particle of the force
   * @param whole            true if the particles must be moved together into the periodic box, because the force does
   *                         not see through it
   */
  virtual void initialize(const OpenMM::System &system, const std::vector<int> &particles,
                          const std::vector<int> &atomicNumbers, bool whole) = 0;
  /**
   * Get the index of the CUDA device that the Context runs on.
   */
  virtual int getDeviceIndex() const = 0;
  /**
   * Get the CUcontext that the arrays belong to.
   */
  virtual void *getCudaContext() = 0;
  /**
   * Get the CUstream that the Context runs in at present.
   */
  virtual void *getStream() = 0;
  /**
   * Write the positions of the force's particles, measured in Angstrom, when the stream gets there.
   *
   * @param positions    an array of 3 times the number of the force's particles
   */
  virtual void takePositions(double *positions) = 0;
  /**
   * Look for particles that are bonded through the periodic box but not where they are, when the stream gets there.
   *
   * @param positions    what takePositions() has written
   * @param box          three vectors of the periodic box, one after another, measured in Angstrom
   * @param bonded       the distance below which two particles are bonded, measured in Angstrom
   */
  virtual void startLookingForCut(const double *positions, const std::array<double, 9> &box, double bonded) = 0;
  /**
   * Get whether there were such particles. The stream must have been waited for.
   */
  virtual bool getIsCut() const = 0;
  /**
   * Add forces to those of the Context when the stream gets there.
   *
   * @param forces    an array of 3 times the number of the force's particles, measured in eV/Angstrom
   */
  virtual void addForces(const double *forces) = 0;
};

}  // namespace TransIPPlugin
