# Target `moec_build_id`: the version, and a digest over the contents of all sources that make the compiler. Caches of compiled programs are keyed by it.
# The digest is made again when a source changes; only one small file is compiled anew for it.
# As a script (cmake -DROOT= -DOUT= -DVERSION= -P BuildId.cmake) it writes the source file.
if(CMAKE_SCRIPT_MODE_FILE)
  set(digests "")
  foreach(folder runtime ir models codegen compiler cmake)
    file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/${folder}/*)
    list(FILTER files EXCLUDE REGEX "^runtime/(data|train)/") # no part of the compiler
    list(SORT files)
    foreach(file IN LISTS files)
      file(SHA256 ${ROOT}/${file} digest)
      string(APPEND digests "${file}:${digest}\n")
    endforeach()
  endforeach()
  string(SHA256 digest "${digests}")
  string(SUBSTRING ${digest} 0 16 digest)
  file(CONFIGURE OUTPUT ${OUT} CONTENT [[#include "moec_build_id.h"

namespace moec {

const char* sourceId() { return "@VERSION@-@digest@"; }

} // namespace moec
]] @ONLY)
  file(TOUCH ${OUT}) # newer than what it is made of, even when the digest stays
  return()
endif()

file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/moec_build_id.h CONTENT "#pragma once
// Made by cmake/BuildId.cmake.

namespace moec {

inline constexpr const char* kVersion = \"${PROJECT_VERSION}\";

/// Version and digest of all sources of this build: \"0.1.0-0123456789abcdef\".
const char* sourceId();

} // namespace moec
")

set(sources "")
foreach(folder runtime ir models codegen compiler cmake)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*)
  list(FILTER files EXCLUDE REGEX "^${PROJECT_SOURCE_DIR}/runtime/(data|train)/")
  list(APPEND sources ${files})
endforeach()
add_custom_command(
  OUTPUT ${PROJECT_BINARY_DIR}/moec_build_id.cpp
  COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -DOUT=${PROJECT_BINARY_DIR}/moec_build_id.cpp -DVERSION=${PROJECT_VERSION} -P ${CMAKE_CURRENT_LIST_FILE}
  DEPENDS ${sources} VERBATIM COMMENT "Digest of the sources")
add_library(moec_build_id STATIC ${PROJECT_BINARY_DIR}/moec_build_id.cpp)
target_include_directories(moec_build_id PUBLIC ${PROJECT_BINARY_DIR})
