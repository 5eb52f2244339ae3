# Options and flags that every target of the project shares.
option(MOEC_TESTS "Build the tests" ON)
option(MOEC_BENCH "Build the benchmarks" OFF)
option(MOEC_EMULATOR "Build the PTX emulator, its tests and its benchmark" ON)
option(MOEC_FUZZ "Build the libFuzzer programs of tests/fuzz, and everything with their instrumentation" OFF)
set(MOEC_SANITIZE "" CACHE STRING "Sanitizers for every target, as -fsanitize= takes them (address,undefined or thread)")

add_library(moec_options INTERFACE)
target_include_directories(moec_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
target_compile_options(moec_options INTERFACE -Wall -Wextra -Werror -Wno-unused-parameter)
# An aggregate is written with the fields that it is about; the others have their defaults.
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(moec_options INTERFACE -Wno-missing-designated-field-initializers)
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
