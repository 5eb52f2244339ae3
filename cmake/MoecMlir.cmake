# LLVM, MLIR and lld, and `moec_mlir_library()` for everything above runtime/.
find_package(MLIR 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22)
find_package(LLD 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22)
list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)

add_library(moec_mlir INTERFACE)
target_link_libraries(moec_mlir INTERFACE moec_options moec_runtime MLIR LLVM)
target_include_directories(moec_mlir SYSTEM INTERFACE ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
# The definitions that LLVM was configured with; its exceptions are off, ours stay on (the JSON library throws).
separate_arguments(MOEC_LLVM_DEFINITIONS UNIX_COMMAND "${LLVM_DEFINITIONS}")
target_compile_options(moec_mlir INTERFACE ${MOEC_LLVM_DEFINITIONS})
# mlir_tablegen() reads the directory property.
include_directories(SYSTEM ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
include_directories(${PROJECT_SOURCE_DIR})

# MLIR's headers and the dialect's are nine tenths of every compile: one precompiled header serves all libraries that include them.
set(MOEC_MLIR_HEADERS ${PROJECT_SOURCE_DIR}/runtime/core/Precompiled.h ${PROJECT_SOURCE_DIR}/ir/dialect/Moe.h <llvm/ADT/TypeSwitch.h>)
# A folder may still be empty: CMake refuses a library without sources.
function(moec_mlir_library name)
  set(sources ${ARGN})
  if(NOT sources)
    set(sources ${CMAKE_CURRENT_BINARY_DIR}/Empty.cpp)
    file(CONFIGURE OUTPUT ${sources} CONTENT "" @ONLY)
  endif()
  add_library(${name} OBJECT ${sources})
  target_link_libraries(${name} PUBLIC moec_mlir)
  if(name STREQUAL "moec_ir")
    moec_precompile(${name} ${MOEC_MLIR_HEADERS})
  else()
    moec_precompile_like(${name} moec_ir)
    target_link_libraries(${name} PUBLIC moec_ir_headers)
  endif()
endfunction()
