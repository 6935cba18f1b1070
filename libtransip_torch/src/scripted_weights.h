// Tensors of a file's TorchScript by name: what files without an index of their weights are read by. Internal to
// libtransip_torch.
#pragma once

#include "torch_headers.h"

#include <functional>
#include <string>

namespace transip {

/// Whether a module's classes are those whose forward the native kernels repeat.
bool is_native_network(const torch::jit::Module &module);

/// Called with the name of each parameter and buffer of floating-point numbers and its values, float64 on the CPU.
using TakeScripted = std::function<void(const std::string &name, const at::Tensor &values)>;

/// Hand out the parameters and buffers of a module, each name behind `prefix`.
void each_tensor(const torch::jit::Module &module, const std::string &prefix, const TakeScripted &take);

}  // namespace transip
