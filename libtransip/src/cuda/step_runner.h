// Evaluations of one network on one device: memory, copies and launches. Internal to libtransip.
#pragma once

#include "arrays.h"
#include "device.h"
#include "lists.h"
#include "packed_weights.h"
#include "transip/halo_exchange.h"

#include <functional>
#include <memory>

namespace transip::cuda {

/// The precision-free face of a runner.
class StepRunner {
 public:
  virtual ~StepRunner() = default;

  /// Run a step of these sizes. `fill` puts everything but the counts into arrays of the host, which are then copied.
  ///
  /// exchange: brings the features of halo atoms; null: there are none. Returns the results, on the host until the next
  /// call; forces and virials are null where they are not wanted.
  virtual const Results &run(const Counts &counts, Gradients gradients, const std::function<void(const Inputs &)> &fill,
                             HaloExchange *exchange) = 0;

  /// Bytes on the device.
  virtual std::size_t memory() const = 0;

  /// The arrays of the last step, as the device has them: for tests. It is a Step<Real>.
  virtual const void *step() const = 0;
};

/// A runner for the weights. Throws Error: no memory, kernels that do not compile.
std::unique_ptr<StepRunner> make_runner(Device &device, const NetworkWeights &weights, bool single);

}  // namespace transip::cuda
