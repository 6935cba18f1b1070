# The sources of libtransip by subject, with absolute paths: tests compile some of them with options of their own.

set(transip_source_dir "${CMAKE_CURRENT_LIST_DIR}/src")

# What reads a model file.
set(model_file_sources common/text.cpp common/trusted_path.cpp modelfile/archive.cpp
  modelfile/committee_file.cpp modelfile/metadata.cpp
  modelfile/reference.cpp modelfile/reference_box.cpp modelfile/sha256.cpp modelfile/strict_json.cpp modelfile/weights.cpp)
# The kernels without the instruction sets: kernel_*.cpp.
set(cpu_sources cpu/engine_weights.cpp cpu/native_model.cpp cpu/network_reader.cpp cpu/radial.cpp cpu/store.cpp cpu/threads.cpp)
# The search for neighbours.
set(neighbour_sources neighbours/box_basis.cpp neighbours/image_search.cpp neighbours/neighbours.cpp
  neighbours/same_place.cpp)
# The library but for what reads a model file and for cuda_sources.
set(library_sources ${cpu_sources} ${neighbour_sources} common/elements.cpp common/xyz.cpp
  evaluate/cuda_evaluator.cpp evaluate/evaluator.cpp evaluate/latent_sample.cpp evaluate/model.cpp
  evaluate/native_evaluator.cpp evaluate/short_range.cpp evaluate/symmetrised.cpp evaluate/torch_evaluator.cpp
  evaluate/torch_library.cpp
  symmetry/frame.cpp symmetry/symmetry.cpp symmetry/symmetry_tables.cpp)
foreach(list IN ITEMS model_file_sources cpu_sources neighbour_sources library_sources)
  list(TRANSFORM ${list} PREPEND "${transip_source_dir}/")
endforeach()
include("${transip_source_dir}/cuda/sources.cmake")
