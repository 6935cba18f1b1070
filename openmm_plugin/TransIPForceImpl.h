// Evaluates a TransIPForce in a Context, on any platform.
#pragma once

#include "TransIPForce.h"
#include "transip/model.h"

#include <openmm/internal/CustomCPPForceImpl.h>

#include <optional>

namespace TransIPPlugin {

class TransIPForceImpl : public OpenMM::CustomCPPForceImpl {
 public:
  explicit TransIPForceImpl(const TransIPForce &owner);

  /// Loads the model. Throws OpenMMException: a file, element, charge, device or particle index that cannot be used, a
  /// periodic System.
  void initialize(OpenMM::ContextImpl &context) override;

  /// positions in nm, forces in kJ/mol/nm, the returned energy in kJ/mol.
  double computeForce(OpenMM::ContextImpl &context, const std::vector<OpenMM::Vec3> &positions,
                      std::vector<OpenMM::Vec3> &forces) override;

  const OpenMM::Force &getOwner() const override { return owner_; }

 private:
  const TransIPForce &owner_;
  std::optional<transip::Model> model_;
  std::vector<std::int64_t> species_;
  std::vector<double> positions_;  // Angstrom
  transip::Result result_;
};

}  // namespace TransIPPlugin
