// Torch's modules and what loads them. torch/script.h brings all operators and takes the compiler twice as long: a source
// that calls operators includes theirs, ATen/ops/NAME.h.
#pragma once

#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>
