# Tests of the CUDA kernels that want no GPU; `cmake --build ... --target cuda_tests` builds them. Included by the
# CMakeLists.txt above, whose options for the CPU's kernels hold here too.

set(cuda_tests "${CMAKE_CURRENT_LIST_DIR}")
# All that no sanitizer has to look at, once. The emulator orders the threads that ThreadSanitizer shall judge.
add_library(cuda_test_host STATIC EXCLUDE_FROM_ALL tests/cuda/emulator/emulator.cpp tests/cuda/networks.cpp
  tests/cuda/plain_network.cpp tests/cuda/structures.cpp)
target_include_directories(cuda_test_host PUBLIC libtransip/src "${cuda_tests}" "${cuda_tests}/emulator")
target_link_libraries(cuda_test_host PUBLIC transip)
target_compile_options(cuda_test_host PRIVATE ${warnings})

add_custom_target(cuda_tests)
# A program of these sources, and what else its compiler is told.
function(add_cuda_test target sources)
  add_executable(${target} EXCLUDE_FROM_ALL ${sources})
  target_link_libraries(${target} PRIVATE cuda_test_host)
  # GPU compilers unroll loops by a pragma that others do not know.
  target_compile_options(${target} PRIVATE ${warnings} -Wno-unknown-pragmas ${ARGN})
  target_link_options(${target} PRIVATE ${ARGN})
  set_target_properties(${target} PROPERTIES BUILD_RPATH "${LOCATED_VESIN}/lib")
  add_dependencies(cuda_tests ${target})
endfunction()

set(thread -g -O1 -fsanitize=thread)
set(undefined -g -O1 -fsanitize=undefined -fno-sanitize-recover=all)
add_cuda_test(test_emulator tests/cuda/emulator/test_emulator.cpp)
add_cuda_test(test_emulator_thread tests/cuda/emulator/test_emulator.cpp ${thread})
set(kernel_test tests/cuda/test_kernels.cpp tests/cuda/emulated_device.cpp tests/cuda/emulated_kernels.cpp)
add_cuda_test(test_kernels "${kernel_test}" -O2)
add_cuda_test(test_kernels_thread "${kernel_test}" ${thread} -DFEW_SHAPES)
add_cuda_test(test_kernels_undefined "${kernel_test}" ${undefined} -DFEW_SHAPES)
add_cuda_test(test_kernels_race "${kernel_test}" ${thread} -DFEW_SHAPES -DPLANT_RACE)
add_cuda_test(test_kernels_off_by_one "${kernel_test}" -O2 -DFEW_SHAPES -DPLANT_OFF_BY_ONE)
add_cuda_test(test_search tests/cuda/test_search.cpp -O2)
add_cuda_test(test_search_thread tests/cuda/test_search.cpp ${thread})
add_cuda_test(test_search_undefined tests/cuda/test_search.cpp ${undefined})
add_cuda_test(test_gpu tests/cuda/test_gpu.cpp)
