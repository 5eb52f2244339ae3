#pragma once
// What is known of the kernels of a model on a target: what they take, what the emulator counted, what the roofline
// allows, what a GPU took. Plain numbers, their faults, and how they are written. Runs nothing.

#include "runtime/bench/Roofline.h"
#include "runtime/bench/ShortNumbers.h"
#include "runtime/bench/Statistics.h"
#include "runtime/core/Plan.h"

#include <nlohmann/json_fwd.hpp>

#include <optional>
#include <string>
#include <vector>

namespace moec::bench {

/// An instruction that touches memory and costs more than it must.
struct CostlyAccess {
  std::string place, instruction; // "line 120, sums[m] = x[..]", "ld.global.f32"
  uint64_t extra = 0;             // sectors or passes over the banks beyond the ideal, of one launch
  bool shared = false;
};

/// Of one launch, counted by the emulator.
struct Counted {
  uint64_t sectors = 0, idealSectors = 0;   // of 32 bytes
  uint64_t bankConflicts = 0, inLoops = 0;  // passes over the banks beyond the ideal; of these, by instructions that a
                                            // warp comes by more than once
  uint64_t bytesRead = 0, bytesWritten = 0; // global, as lanes ask for them
  uint64_t flops32 = 0, flops64 = 0;        // executed; an FMA counts two
  std::vector<CostlyAccess> costly;         // costliest first

  double sectorRatio() const { return idealSectors ? static_cast<double>(sectors) / static_cast<double>(idealSectors) : 1; }
};

/// One function of a kernel's module.
struct StageFigures {
  std::string kind, stage; // "expert_down", "combine"
  std::string layer;       // of its first launch
  int launches = 1;        // in a call
  int64_t blocks = 0;
  GridInfo grid;
  double occupancy = 0; // resident threads over what a multiprocessor holds
  std::optional<Counted> counted;

  /// Assigns rows to experts: a sort, whose rows go where they must.
  bool assigns() const;
};

/// A kernel's launch as a whole.
struct LaunchFigures {
  std::string symbol, kind, layer;
  int launches = 1;
  Work work;
  std::optional<Spread> seconds;
};

struct ModelFigures {
  std::string model, device, target, sizes; // "s1", "ptx-emulator:sm_90a", "cuda:sm_90a", "tokens=512"
  std::string boundSizes;                   // of `launches`
  std::vector<StageFigures> stages;
  std::vector<LaunchFigures> launches;
};

constexpr double kMostSectors = 1.15; // against the ideal, of kernels that move rows

/// One line for each: spilled registers, sectors past kMostSectors, bank conflicts in loops; with the costliest
/// instructions.
std::vector<std::string> faultsOf(const ModelFigures& figures);

std::string toMarkdown(const ModelFigures& figures, const Peaks& peaks);
nlohmann::ordered_json toJson(const ModelFigures& figures, const Peaks& peaks);

/// "0.82 (0.80 - 0.85)"
std::string text(const Spread& spread);

} // namespace moec::bench
