// A TransIPForce evaluated on the arrays of a Context on OpenMM's CUDA platform, without copies to the host.
#pragma once

#include "TransIPForce.h"
#include "TransIPKernels.h"
#include "cuda/dynamics.h"
#include "transip/model.h"

#include <openmm/Kernel.h>
#include <openmm/internal/ContextImpl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace TransIPPlugin {

/// The kernel of a Context's platform, if it is CUDA and its part of the plugin (libOpenMMTransIPCUDA.so, beside the
/// plugin) is there and loads. It is loaded when a Context first asks.
std::optional<OpenMM::Kernel> cuda_kernel(OpenMM::ContextImpl &context);

/// The force's particles in the order of addParticle().
struct Particles {
  std::vector<int> indices;           ///< in the System
  std::vector<std::int64_t> species;  ///< atomic numbers
};

class DeviceEvaluation {
 public:
  /// Null: the model is evaluated by something else than the project's own CUDA kernels on the Context's device.
  ///
  /// kernel: what `cuda_kernel` gave. isolated: the model sees no images in a System that is periodic. All but the kernel
  /// must live longer. Throws transip::Error: the device has not enough memory, kernels that do not compile.
  static std::unique_ptr<DeviceEvaluation> make(OpenMM::Kernel kernel, const transip::Model &model,
                                                const TransIPForce &force, const Particles &particles, bool isolated,
                                                OpenMM::ContextImpl &context);

  ~DeviceEvaluation();

  /// Evaluate the Context's positions, and add the forces to the Context's unless they are not wanted; returns the energy,
  /// kJ/mol.
  ///
  /// Throws transip::Error: two particles in one place (NotFinite, whose row is the particle's), an energy that is not
  /// finite, a device that fails; OpenMMException: the box cuts an isolated molecule in two.
  double evaluate(OpenMM::ContextImpl &context, bool forces);

 private:
  DeviceEvaluation(OpenMM::Kernel kernel, const Particles &particles);

  CalcTransIPForceKernel &kernel() { return kernel_.getAs<CalcTransIPForceKernel>(); }
  void check_cut(OpenMM::ContextImpl &context);

  OpenMM::Kernel kernel_;
  const Particles &particles_;
  std::unique_ptr<transip::cuda::Device> device_{};
  std::unique_ptr<transip::cuda::Dynamics> dynamics_{};  // goes before its device
  bool periodic_ = false, isolated_ = false;
};

}  // namespace TransIPPlugin

/// Number of forces of this process that work on the arrays of a Context at present: for those who want to see it.
extern "C" __attribute__((visibility("default"))) int transip_openmm_forces_on_device();
