# LLVM, MLIR and lld, and the target `moec_mlir` that everything above runtime/ links.
find_package(MLIR 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22)
find_package(LLD 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22)
list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)

add_library(moec_mlir INTERFACE)
target_link_libraries(moec_mlir INTERFACE moec_options MLIR LLVM)
target_include_directories(moec_mlir SYSTEM INTERFACE ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
# The definitions that LLVM was configured with; its exceptions are off, ours stay on (the JSON library throws).
separate_arguments(MOEC_LLVM_DEFINITIONS UNIX_COMMAND "${LLVM_DEFINITIONS}")
target_compile_options(moec_mlir INTERFACE ${MOEC_LLVM_DEFINITIONS})
# mlir_tablegen() reads the directory property.
include_directories(SYSTEM ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})

# One precompiled header: MLIR's own headers are nine tenths of every compile.
set(MOEC_PCH ${PROJECT_SOURCE_DIR}/ir/dialect/Precompiled.h)
function(moec_mlir_library name)
  add_library(${name} OBJECT ${ARGN})
  target_link_libraries(${name} PUBLIC moec_mlir)
  if(TARGET moec_pch)
    target_precompile_headers(${name} REUSE_FROM moec_pch)
    target_link_libraries(${name} PRIVATE moec_pch_flags)
  endif()
endfunction()
