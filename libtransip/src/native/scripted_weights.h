// Weights of a TransIP network out of its TorchScript: for files of format 1, which have no index. Internal to libtransip.
#pragma once

#include "../modelfile/weights.h"

#include <torch/script.h>

#include <optional>

namespace transip {

/// Weights of a module; none if its classes are not those whose forward the native kernels repeat.
std::optional<Weights> scripted_weights(const torch::jit::Module &module);

}  // namespace transip
