#pragma once
// What may be chosen about a gate kernel, and what is chosen. Knows targets and sizes; writes no text.

#include "codegen/analysis/GatePlan.h"
#include "codegen/cuda/ProductSchedule.h"
#include "codegen/cuda/RowText.h"

namespace moec::codegen::cuda {

inline constexpr int64_t kGateThreads = 128; // of the blocks of every stage of kind `gate`

struct GateSchedule {
  int64_t tokenBlock = 0;                    // tokens of a block
  int64_t tileN = 0, warpsN = 0, stages = 0; // of the scores' product; 0 without one
  int64_t groupThreads = 0;                  // for a token's row
  int64_t oneBlockRows = 0;                  // fewer rows (tokens times choices) than these are assigned by one block
  int64_t threads = kGateThreads;            // of a block; the kernel's kind says how many

  ProductSchedule product() const { return {tokenBlock, tileN, threads / 32 / std::max<int64_t>(warpsN, 1), warpsN, stages}; }
  RowSchedule rows() const { return groupThreads > 32 ? RowSchedule{groupThreads, 1} : RowSchedule{groupThreads, threads / groupThreads}; }
  /// Elements between two tokens' scores in shared memory. A warp that reads whole tokens' scores reads each bank once; it writes 4 tokens' scores of 8
  /// experts, each bank once too, but for 9 to 16 experts.
  static int64_t stride(int64_t experts);
  static int64_t scoreBytes(const GatePlan& plan, int64_t tokenBlock);
  /// Shared memory of a block: scores, slices, choices, counters of experts and sums of warps.
  int64_t sharedBytes(const GatePlan& plan) const;

  std::optional<std::string> illegal(const GatePlan& plan) const;
  mlir::DictionaryAttr attr(mlir::MLIRContext* context) const;
  static mlir::FailureOr<GateSchedule> of(ir::KernelOp kernel, const GatePlan& plan);
};

GateSchedule chooseGate(const GatePlan& plan, const CudaTarget& target);

} // namespace moec::codegen::cuda
