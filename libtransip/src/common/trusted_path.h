// Files of machine code and the folders above them. Internal to libtransip.
#pragma once

#include <string>

namespace transip {

/// Throw Error, with the command to type, if a file of machine code, its folder or a folder above may be written by
/// another user than this one and root: that user could replace what is loaded.
///
/// The twin of python/transip_md/common/trusted_paths.py.
void require_trusted(const std::string &path);

}  // namespace transip
