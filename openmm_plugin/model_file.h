// The model file that a force names: found again if it has moved, refused if it is another one.
#pragma once

#include <string>

namespace TransIPPlugin {

/// SHA-256 of a file's contents, 64 hexadecimal digits (FIPS 180-4).
std::string sha256_of(const std::string &file);

/// Where a model file lies now: at `file`, or under the same name in a folder of $TRANSIP_MD_MODELS (separated by
/// colons) or in the current folder, there only with the same contents.
///
/// sha256: of the file's contents, or empty: then `file` is returned as it is. Throws transip::Error: the file has
/// changed, or is nowhere.
std::string find_model(const std::string &file, const std::string &sha256);

}  // namespace TransIPPlugin
