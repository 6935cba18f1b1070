// What a TorchScript file may contain. TorchScript is a language that reads and writes files, so a model file is looked
// through before anything in it runs. Internal to libtransip_torch.
#pragma once

#include "modelfile/archive.h"
#include "torch_headers.h"

#include <memory>
#include <string>

namespace transip {

/// Archive in memory, as torch's readers take it.
std::shared_ptr<caffe2::serialize::ReadAdapterInterface> adapter(const Archive &archive);

/// Look through an archive before torch unpickles it: every entry's CRC-32, compressed ones too; in its pickles only
/// tensors, containers and the file's own classes; no class that runs code when it is unpickled.
///
/// Throws Error, naming `path` and what was found.
void check_before_unpickling(const Archive &archive, const std::string &path);

/// Walk the graphs of all methods and functions. Throws Error, naming it, for an operator that is not in operators.h, and
/// for a loop without a bound.
void check_operators(const torch::jit::Module &module, const std::string &path);

}  // namespace transip
