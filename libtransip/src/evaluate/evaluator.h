// What evaluates a model: one interface for the project's own kernels and for torch. Internal to libtransip.
#pragma once

#include "symmetry/symmetry_tables.h"
#include "transip/model.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace transip {

class Evaluator {
 public:
  virtual ~Evaluator() = default;

  /// Energies and, unless they are not wanted, forces of a request whose positions [I*3], Angstrom, are these.
  ///
  /// Throws Error: arrays that do not fit, whatever the evaluator complains of.
  virtual void evaluate(const Request &request, std::span<const double> positions, Result &result, bool forces) = 0;

  /// Several structures without images, a result for each; one after another, unless the evaluator knows better. The row
  /// of NotFinite counts the atoms of all of them.
  virtual void evaluate_many(std::span<const Request> requests, std::span<Result> results, bool forces);

  /// Weighted mean over rotated copies of the structure, forces rotated back. One copy after another, unless the evaluator
  /// knows better.
  virtual void average(const Request &request, const RotationSet &set, Result &result, bool forces);

  /// Whether `evaluate_structure` is there.
  virtual bool evaluates_structures() const { return false; }

  /// A whole structure; see Model::evaluate_structure.
  virtual void evaluate_structure(const StructureRequest &request, StructureResult &result);

  /// Several whole structures; see Model::evaluate_structures. The row of NotFinite counts the atoms of all of them.
  virtual void evaluate_structures(std::span<const StructureRequest> requests, std::span<StructureResult> results);

  /// With arrays on the device, and memory there; see Model.
  virtual void evaluate_on_device(const DeviceRequest &request, const DeviceResult &result);
  virtual void *allocate_on_device(std::size_t bytes);
  virtual void free_on_device(void *memory);

  /// See Model::share_neighbours.
  virtual bool share_neighbours(Evaluator &) { return false; }

  /// "native kernels (avx512)", "TorchScript", "compiled code, CUDA graphs".
  virtual std::string name() const = 0;

  /// "cpu" or "cuda:N".
  virtual std::string device() const = 0;

  /// Whether a request may have a HaloExchange.
  virtual bool exchanges_halo() const { return false; }

  /// Whether a request may ask for distances from the training set.
  virtual bool gives_distances() const { return false; }

  /// CPU threads of one evaluation.
  virtual void set_threads(int threads) = 0;

  /// See Model::workers.
  virtual native::Workers *workers() { return nullptr; }

  /// Bytes that are kept from one evaluation to the next, on a device too, without what torch keeps.
  virtual std::int64_t memory() const { return 0; }
};

/// Row vectors times a rotation's transpose, r -> R r for each row; `rotation` is row-major.
std::vector<double> rotated(std::span<const double> rows, std::span<const double> rotation);

/// The same by the inverse rotation.
std::vector<double> rotated_back(std::span<const double> rows, std::span<const double> rotation);

}  // namespace transip
