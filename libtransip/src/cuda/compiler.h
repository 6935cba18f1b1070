// Kernels compiled by NVRTC for one network and one kind of GPU, and kept. Internal to libtransip.
#pragma once

#include "plan.h"

#include <future>
#include <string>

namespace transip::cuda {

/// Machine code (a cubin) of the kernels for a network. architecture: "sm_90".
///
/// It is compiled in a thread of its own: files that are asked for one after another are compiled side by side.
/// It is taken from the cache ($TRANSIP_MD_CACHE, or transip-md in the user's cache folder), where it lies under a key of
/// the kernels' source, the architecture and the shape; if it is not there, NVRTC compiles it in a few seconds and it is
/// put there. NVRTC is the library that the environment variable TRANSIP_NVRTC names, or the loader's libnvrtc.so.
///
/// Throws Error: no NVRTC, a cache that other users may write. The future throws Error: a source that does not compile.
std::shared_future<std::string> compile_kernels(const NetworkShape &shape, NetworkFile file,
                                                const std::string &architecture);

/// The same of kernels that are the same for all networks.
std::shared_future<std::string> compile_kernels(KernelFile file, const std::string &architecture);

}  // namespace transip::cuda
