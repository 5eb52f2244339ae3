#pragma once
// What may be chosen about attention, and the cost model that chooses (skeletons/attention.cuh). Knows targets and sizes; writes no text.

#include "codegen/analysis/ProductPlans.h"
#include "runtime/core/CudaTarget.h"

namespace moec::codegen::cuda {

/// Slices of 64 bytes that a head's columns take.
int64_t slicesOf(DType dtype, int64_t headDim);

struct AttentionSchedule {
  int64_t warps = 0, rows = 0; // a block has warps * 4 * rows queries
  int64_t keys = 0;            // of a tile
  int64_t valueSlices = 0;     // slices of 64 bytes of the values' columns that a block computes
  int64_t stages = 0;

  int64_t queries() const { return warps * 4 * rows; }
  int threads() const { return static_cast<int>(32 * warps); }
  int64_t sharedBytes(DType dtype, int64_t headDim) const;
  int64_t registers(DType dtype) const; // about
  /// Blocks that share the columns of a head.
  int64_t parts(DType dtype, int64_t headDim) const;

  std::optional<std::string> illegal(DType dtype, int64_t headDim) const;
  mlir::DictionaryAttr attr(mlir::MLIRContext* context) const;
  /// The kernel's own, when it is complete and legal; else a diagnostic.
  static mlir::FailureOr<AttentionSchedule> of(ir::KernelOp kernel, const AttentionPlan& plan);
};
/// Nothing when no schedule is legal.
std::optional<AttentionSchedule> chooseAttention(const AttentionPlan& plan, const CudaTarget& target);

} // namespace moec::codegen::cuda
