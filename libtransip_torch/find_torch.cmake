# An interface target `torch` for the torch in LOCATED_TORCH. Not through torch's own CMake package: with a CUDA build of
# torch that one refuses to configure on a machine without the CUDA toolkit, of which nothing is needed here.

add_library(torch INTERFACE)
target_include_directories(torch SYSTEM INTERFACE
  "${LOCATED_TORCH}/include" "${LOCATED_TORCH}/include/torch/csrc/api/include")
target_compile_definitions(torch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
# libtorch.so is a thin library that pulls in the CUDA half where there is one; nothing refers to it by symbol.
target_link_libraries(torch INTERFACE
  -Wl,--no-as-needed "${LOCATED_TORCH}/lib/libtorch.so" -Wl,--as-needed
  "${LOCATED_TORCH}/lib/libtorch_cpu.so" "${LOCATED_TORCH}/lib/libc10.so")
# CUDA graphs want the headers of CUDA's runtime; without them kernels are launched one by one.
find_library(CUDA_RUNTIME NAMES cudart libcudart.so.13 libcudart.so.12 NO_DEFAULT_PATH
             HINTS "${LOCATED_CUDA_INCLUDE}/../lib" "${LOCATED_CUDA_INCLUDE}/../lib64")
if(LOCATED_CUDA_INCLUDE AND CUDA_RUNTIME)
  target_compile_definitions(torch INTERFACE TRANSIP_CUDA_GRAPHS)
  target_include_directories(torch SYSTEM INTERFACE "${LOCATED_CUDA_INCLUDE}")
  target_link_libraries(torch INTERFACE "${LOCATED_TORCH}/lib/libtorch_cuda.so" "${LOCATED_TORCH}/lib/libc10_cuda.so"
                        "${CUDA_RUNTIME}")
endif()
