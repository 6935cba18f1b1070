// Evaluates a TransIPForce in a Context: on the arrays of the CUDA platform where it can, else through the host.
#pragma once

#include "DeviceEvaluation.h"
#include "TransIPForce.h"
#include "transip/model.h"
#include "transip/neighbours.h"

#include <openmm/internal/CustomCPPForceImpl.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace TransIPPlugin {

class TransIPForceImpl : public OpenMM::CustomCPPForceImpl {
 public:
  explicit TransIPForceImpl(const TransIPForce &owner);

  /// Loads the model. Throws OpenMMException: a file, element, charge, device or particle index that cannot be used, a
  /// periodic System with an all-to-all model.
  void initialize(OpenMM::ContextImpl &context) override;

  /// An energy alone is cheaper than an energy with forces; CustomCPPForceImpl does not pass on to computeForce which is asked.
  double calcForcesAndEnergy(OpenMM::ContextImpl &context, bool includeForces, bool includeEnergy, int groups) override;

  std::vector<std::pair<int, int>> getBondedParticles() const override;

  /// positions in nm, forces in kJ/mol/nm, the returned energy in kJ/mol.
  double computeForce(OpenMM::ContextImpl &context, const std::vector<OpenMM::Vec3> &positions,
                      std::vector<OpenMM::Vec3> &forces) override;

  const OpenMM::Force &getOwner() const override { return owner_; }

 private:
  void load_model(OpenMM::ContextImpl &context);
  void prepare_symmetry(OpenMM::ContextImpl &context);
  void check_model();
  std::size_t owner_of(std::size_t row) const;

  const TransIPForce &owner_;
  Particles particles_;  // as the owner had them when the Context was created
  std::optional<transip::Model> model_;
  std::unique_ptr<DeviceEvaluation> on_device_;  // null: positions come through the host
  bool checked_ = false;                         // against the file's reference numbers
  // Platforms with a GPU compute before they tell what is wanted, in a thread of their own.
  bool told_before_ = true;
  bool forces_wanted_ = true;   // by the evaluation at hand
  bool among_images_ = false;   // an isolated molecule in a periodic System
  std::vector<double> positions_;                  // Angstrom
  std::optional<transip::Neighbours> neighbours_;  // of a local model
  transip::Result result_;
};

}  // namespace TransIPPlugin
