// The kernels' source, as it is compiled when it is first used. Internal to libtransip.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace transip::cuda {

/// Names and contents of the files in kernels/; made by sources.cmake.
const std::vector<std::pair<std::string_view, std::string_view>> &kernel_sources();

}  // namespace transip::cuda
