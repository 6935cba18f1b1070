# Compiles torch's headers once for the sources of libtransip that include them: parsing them takes most of the time of
# such a source. For the tests' own build; the build that users type includes them one by one, so a source that lacks an
# #include is still found there.

function(precompile_torch)
  get_target_property(sources transip SOURCES)
  foreach(source IN LISTS sources)
    file(STRINGS "${CMAKE_CURRENT_SOURCE_DIR}/${source}" uses
         REGEX "<(torch|ATen|c10)/|(cuda_graph|program|script_guard|scripted_weights)\\.h")
    if(NOT uses)
      set_source_files_properties("${source}" PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    endif()
  endforeach()
  target_precompile_headers(transip PRIVATE <torch/script.h>)
endfunction()
cmake_language(DEFER CALL precompile_torch)
