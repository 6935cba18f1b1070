// libtransip_torch, opened when a file or a user asks for torch. Internal to libtransip.
#pragma once

#include "torch_interface.h"

namespace transip {

/// Functions of libtransip_torch, which is opened at the first call.
///
/// It is what the environment variable TRANSIP_TORCH_LIBRARY names, or libtransip_torch.so beside the library or plugin
/// that holds this code, or in the folder `torch` there.
/// Throws Error: it is not there, may be written by others, cannot be opened, or is of another version of transip-md.
const torch_interface::Functions &torch_functions();

/// Number of CUDA devices that NVIDIA's driver knows of; without torch.
int driver_devices();

}  // namespace transip
