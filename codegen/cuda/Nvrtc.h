#pragma once
// NVRTC, opened at run time: CUDA text to PTX and machine code. Knows text and files; knows neither MLIR nor kernels of the dialect.

#include "runtime/core/CudaTarget.h"

#include <optional>
#include <string>
#include <vector>

namespace moec::codegen::cuda {

/// What ptxas reports of a __global__ function.
struct FunctionUsage {
  std::string function;
  int registers = 0;      // of a thread
  int64_t spillBytes = 0; // stores and loads
  int64_t stackBytes = 0;
  int64_t sharedBytes = 0; // static, of a block
};

struct CudaSource {
  std::string fileName; // in messages and in the PTX's line information, as it stands here
  std::string text;
  std::string declarations = {}; // of functions, one a line: a text that defines one with other parameters is refused
};

struct CompiledCuda {
  std::string ptx;
  std::vector<uint8_t> cubin;
  std::vector<FunctionUsage> functions;
};

/// One NVRTC run for target.arch with line information; multiplications and additions are never contracted: text says fma where it means it.
/// Nothing, and NVRTC's log in `error`, when it refuses the text. Error(Device) when there is no NVRTC, naming where it was looked for and how to get it. Safe
/// to call from several threads.
std::optional<CompiledCuda> compileCuda(const CudaSource& source, const CudaTarget& target, std::string& error);
/// The same in a process of its own (the tool `moec-nvrtc` of libexec): NVRTC can crash on text that nobody has checked. A crash, and an end at
/// the time limit, are errors that say so.
std::optional<CompiledCuda> compileCudaApart(const CudaSource& source, const CudaTarget& target, std::string& error, int limitSeconds = 60);

/// "13.0"; empty when there is none.
std::string nvrtcVersion();
/// The same, and what tells this library from one of the same version after an update (its file's size and time). For keys.
std::string nvrtcBuild();
/// Why there is no NVRTC: where it was looked for and how to get it. Empty when there is one.
std::string missingNvrtc();

} // namespace moec::codegen::cuda
