# The host's part of the CUDA kernels, and the kernels themselves as text: NVRTC compiles them when they are first used.

set(cuda_sources arrays.cpp compiler.cpp cuda_model.cpp device_source.cpp dynamics.cpp file_network.cpp gpu.cpp lists.cpp moving_structure.cpp packed_weights.cpp plan.cpp
  search_plan.cpp shared_library.cpp step_runner.cpp totals_plan.cpp)
list(TRANSFORM cuda_sources PREPEND "${CMAKE_CURRENT_LIST_DIR}/")

set(kernel_header "${CMAKE_CURRENT_LIST_DIR}/kernel_sources.h")
set(kernel_text "")
file(GLOB kernel_files CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/kernels/*")
foreach(file IN LISTS kernel_files)
  get_filename_component(name "${file}" NAME)
  file(READ "${file}" text)
  string(APPEND kernel_text "    {\"${name}\", R\"kernel(${text})kernel\"},\n")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
endforeach()
file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/kernel_sources.cpp" @ONLY CONTENT
"#include \"@kernel_header@\"

namespace transip::cuda {

const std::vector<std::pair<std::string_view, std::string_view>> &kernel_sources()
{
  static const std::vector<std::pair<std::string_view, std::string_view>> sources = {
@kernel_text@  };
  return sources;
}

}  // namespace transip::cuda
")
list(APPEND cuda_sources "${CMAKE_CURRENT_BINARY_DIR}/kernel_sources.cpp")
