# TensorRT's C++ headers; a plugin meets libnvinfer in the process that loads it, and needs none to be built.
#
#   TensorRT_ROOT           (variable or environment) a folder with include/: of an archive, or of the public repository
#
#   TensorRT_FOUND TensorRT_VERSION TensorRT_INCLUDE_DIR
#   TensorRT::headers       imported target
find_path(TensorRT_INCLUDE_DIR NvInferRuntime.h PATH_SUFFIXES include ${CMAKE_LIBRARY_ARCHITECTURE})
mark_as_advanced(TensorRT_INCLUDE_DIR)

if(TensorRT_INCLUDE_DIR AND EXISTS "${TensorRT_INCLUDE_DIR}/NvInferVersion.h")
  file(READ "${TensorRT_INCLUDE_DIR}/NvInferVersion.h" text)
  set(TensorRT_VERSION "")
  foreach(part MAJOR MINOR PATCH)
    # Newer releases define NV_TENSORRT_MAJOR by way of TRT_MAJOR_ENTERPRISE.
    if(text MATCHES "define (NV_TENSORRT_${part}|TRT_${part}_ENTERPRISE) +([0-9]+)")
      list(APPEND TensorRT_VERSION "${CMAKE_MATCH_2}")
    endif()
  endforeach()
  list(JOIN TensorRT_VERSION "." TensorRT_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TensorRT
  REQUIRED_VARS TensorRT_INCLUDE_DIR TensorRT_VERSION
  VERSION_VAR TensorRT_VERSION)

if(TensorRT_FOUND AND NOT TARGET TensorRT::headers)
  add_library(TensorRT::headers INTERFACE IMPORTED)
  # Imported include folders are system ones to the compiler: their warnings are not ours.
  set_target_properties(TensorRT::headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${TensorRT_INCLUDE_DIR}")
endif()
