# find_package(transip): the target transip::transip.
include("${CMAKE_CURRENT_LIST_DIR}/transipTargets.cmake")
