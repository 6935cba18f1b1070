// Names of the entries of a model file's archive, and what kind of file they make. Internal to libtransip and
// libtransip_torch.
#pragma once

#include "archive.h"

#include <algorithm>

namespace transip {

constexpr const char *metadata_record = "extra/transip.json";
constexpr const char *reference_record = "extra/reference.json";
constexpr const char *committee_record = "extra/committee.json";
constexpr const char *script_record = "constants.pkl";
constexpr const char *compiled_folder = "data/aotinductor/";

/// Whether a file holds compiled code, not TorchScript.
inline bool is_compiled(const Archive &archive)
{
  return std::any_of(archive.entries().begin(), archive.entries().end(),
                     [](const Archive::Entry &one) { return one.name.starts_with(compiled_folder); });
}

}  // namespace transip
