// A molecule's evaluations on a CUDA device as one graph: hundreds of kernels are launched by one call. Internal to
// libtransip_torch.
#pragma once

#include "program.h"

#include "transip/tolerances.h"

#include <functional>
#include <memory>
#include <vector>

namespace transip {

class CudaGraph {
 public:
  using Forward = std::function<Output(std::vector<at::Tensor>)>;

  virtual ~CudaGraph() = default;

  /// Run a forward, after some calls with arguments of the same shapes by replaying what one of them launched. What
  /// comes back is written over by the next call. A forward that cannot be recorded, or that gives other numbers
  /// (by more than `allowed`) when it is replayed, is run as it is from then on.
  virtual Output run(const std::vector<at::Tensor> &inputs) = 0;
};

/// Null: the device is no CUDA device, or libtransip_torch was built without CUDA's headers.
std::unique_ptr<CudaGraph> make_cuda_graph(c10::Device device, const Tolerance &allowed, CudaGraph::Forward forward);

}  // namespace transip
