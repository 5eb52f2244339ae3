# Options and flags that every target of the project shares.
option(MOEC_TESTS "Build the tests" ON)
option(MOEC_BENCH "Build the benchmarks" OFF)
option(MOEC_EMULATOR "Build the PTX emulator, its tests and its benchmark" ON)
option(MOEC_FUZZ "Build the libFuzzer programs of tests/fuzz, and everything with their instrumentation" OFF)
option(MOEC_UNITY "Compile the files of a library in groups of eight: from nothing a build takes less, after a change more" OFF)
set(MOEC_SANITIZE "" CACHE STRING "Sanitizers for every target, as -fsanitize= takes them (address,undefined or thread)")

add_library(moec_options INTERFACE)
target_include_directories(moec_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
target_compile_options(moec_options INTERFACE -Wall -Wextra -Werror -Wno-unused-parameter)
# An aggregate is written with the fields that it is about; the others have their defaults.
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(moec_options INTERFACE -Wno-missing-designated-field-initializers)
else() # g++ knows one word for both kinds of initializers
  target_compile_options(moec_options INTERFACE -Wno-missing-field-initializers)
  # g++ 12 warns of copies inside of std::string and std::vector that cannot be.
  target_compile_options(moec_options INTERFACE -Wno-error=array-bounds -Wno-error=stringop-overflow)
endif()
# Results must not depend on how the compiler that built us contracts expressions.
target_compile_options(moec_options INTERFACE -ffp-contract=off)
if(MOEC_SANITIZE)
  target_compile_options(moec_options INTERFACE -fsanitize=${MOEC_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(moec_options INTERFACE -fsanitize=${MOEC_SANITIZE})
endif()
if(MOEC_FUZZ)
  target_compile_options(moec_options INTERFACE -fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined)
endif()

# moec_unity(<target> [APART <source>...]): in groups, but for files whose names for themselves others have, too, and those that take longer than a group.
function(moec_unity target)
  cmake_parse_arguments(UNITY "" "" "APART" ${ARGN})
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${MOEC_UNITY} UNITY_BUILD_BATCH_SIZE 8)
  set_source_files_properties(${UNITY_APART} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# moec_precompile(<target> <header>...): a precompiled header of these; moec_precompile_like(<target> <other>): the other target's, whose flags must be the same.
# The timestamp is left out so that ccache recognises the header.
function(moec_precompile target)
  target_precompile_headers(${target} PRIVATE ${ARGN})
  moec_precompile_flags(${target})
endfunction()
function(moec_precompile_like target other)
  target_precompile_headers(${target} REUSE_FROM ${other})
  moec_precompile_flags(${target})
endfunction()
# For a program the header of libraries, whose objects are position independent as theirs.
function(moec_precompile_for_program target other)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC)
  moec_precompile_like(${target} ${other})
endfunction()
function(moec_precompile_flags target)
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
  else() # g++ refuses the header where a macro of a library is not there, and then reads its text: that is no mistake
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-error=invalid-pch>)
  endif()
endfunction()
