#pragma once
// Figures of a plan at given sizes, for `compile`, `inspect` and `explain`. Counts only; runs nothing.

#include "runtime/core/Program.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moec::cli {

/// A function of a CUDA kernel: a stage of its launches.
struct FunctionSummary {
  std::string name; // without the kernel's symbol before it
  Size blocks;
  GridInfo grid;
  /// Warps of the blocks that are resident in a multiprocessor at once, of the warps that the target's may hold;
  /// nothing for a target that this build does not know.
  std::optional<double> occupancy;
};

struct KernelSummary {
  std::string symbol, kind;
  uint64_t imageBytes = 0;
  int launches = 0;
  bool isTuned = false;            // LaunchInfo::isTuned
  std::vector<std::string> layers; // each once, in order of first use
  std::vector<FunctionSummary> functions;
};

struct MemorySummary {
  int64_t parameters = 0, states = 0, prepared = 0, constants = 0, arena = 0, inputs = 0, outputs = 0; // bytes
  int64_t temporaries = 0;                                                                             // sum of all buffers that share the arena
  int64_t activations = 0; // of training: what is made on the way to the loss and kept for the way back
};

/// Who chose a launch's schedule: "tuning" or "cost model".
const char* chooserOf(const LaunchInfo& launch);
/// ", training" behind the name of a plan's target; empty of the plan for inference.
std::string purposeSuffix(const Plan& plan);
int64_t parameterCount(const Plan& plan);
int64_t elementCount(const std::vector<Size>& shape, const Bindings& sizes);
/// Useful arithmetic and least traffic of one call; of a step of training, with one accumulation where there are any.
int64_t callFlops(const Plan& plan, const Bindings& sizes);
int64_t callBytes(const Plan& plan, const Bindings& sizes);
MemorySummary memorySummary(const Plan& plan, const Bindings& sizes);
/// In order of first use, prepare launches first.
std::vector<KernelSummary> kernelSummaries(const Program& program, const Plan& plan);
/// Kernels whose schedules were measured.
size_t tunedKernels(const std::vector<KernelSummary>& kernels);
/// "[batch, 65, 32]".
std::string shapeText(const std::vector<Size>& shape);

} // namespace moec::cli
