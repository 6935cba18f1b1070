# The host's part of the CUDA kernels.
set(cuda_folder "${CMAKE_CURRENT_LIST_DIR}")
set(cuda_sources arrays.cpp cuda_model.cpp lists.cpp packed_weights.cpp plan.cpp step_runner.cpp)
list(TRANSFORM cuda_sources PREPEND "${cuda_folder}/")
