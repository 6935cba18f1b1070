// A file that holds several model files, a committee. Internal to libtransip; the twin of
// python/transip_md/modelfile/committee_file.py.
#pragma once

#include "archive.h"

#include <string>

namespace transip {

/// Archive of a model file. Of a committee's file that of one model: of "PATH#2" the second, of PATH the first.
///
/// Throws Error: what Archive throws, a committee's file that cannot be used, or without such a model, a model in it whose
/// SHA-256 is another than it was.
Archive open_model(const std::string &path);

}  // namespace transip
