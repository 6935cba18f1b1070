// A TransIP network evaluated by the project's own CUDA kernels. Internal to libtransip.
#pragma once

#include "modelfile/weights.h"
#include "device.h"
#include "transip/metadata.h"
#include "transip/model.h"

#include <memory>
#include <span>

namespace transip {

class CudaModel {
 public:
  /// Make the kernels ready for a TransIP network on a device, which must live longer than the model.
  ///
  /// Null: its forces are no gradient, or it has a shape that the kernels are not made for (cuda/kernels/tiles.h).
  /// Throws Error: weights are missing or have other shapes than the metadata asks for, kernels that do not compile, not
  /// enough memory.
  static std::unique_ptr<CudaModel> make(const Weights &weights, const Metadata &metadata, cuda::Device &device);
  ~CudaModel();

  /// Energies, and forces unless they are not wanted, of a request whose positions are these.
  ///
  /// Virials of atoms, where the request wants them, come with the forces.
  /// Throws Error: shapes, rows or owners that do not fit, species, charge or multiplicity that the model does not know,
  /// atoms in one place, a device that fails. With a halo exchange the device stops in every layer until the
  /// features have come; every rank calls it.
  void evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces);

  /// The same of isolated molecules in one step, of a model that attends all-to-all. A result for each request.
  ///
  /// Throws Error: as `evaluate`; NotFinite names the atom, of all molecules one after another.
  void evaluate_molecules(std::span<const Request> requests, std::span<Result> results, bool forces);

  /// Bytes on the device that are kept from one evaluation to the next.
  std::int64_t memory() const;

  /// Arrays of the last step on the device, a cuda::Step of the file's precision: for tests.
  const void *step() const;

 private:
  explicit CudaModel(const Metadata &metadata);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace transip
