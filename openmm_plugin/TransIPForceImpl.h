// Evaluates a TransIPForce in a Context, on any platform.
#pragma once

#include "TransIPForce.h"
#include "transip/model.h"
#include "transip/neighbours.h"

#include <openmm/internal/CustomCPPForceImpl.h>

#include <optional>

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
  std::size_t owner_of(std::size_t row) const;
  void prepare_symmetry(OpenMM::ContextImpl &context);
  void check_whole(OpenMM::ContextImpl &context) const;

  const TransIPForce &owner_;
  std::vector<int> particles_;  // indices in the System, as the owner had them when the Context was created
  std::optional<transip::Model> model_;
  bool checked_ = false;        // against the file's reference numbers
  bool forces_wanted_ = true;   // by the evaluation at hand
  bool among_images_ = false;   // an isolated molecule in a periodic System
  std::vector<std::int64_t> species_;
  std::vector<double> positions_;                  // Angstrom
  std::optional<transip::Neighbours> neighbours_;  // of a local model
  transip::Result result_;
};

}  // namespace TransIPPlugin
