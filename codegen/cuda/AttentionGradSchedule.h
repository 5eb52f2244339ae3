#pragma once
// What may be chosen about the gradients of attention (skeletons/attention_grad.cuh). Knows sizes; writes no text.

#include "codegen/analysis/ProductPlans.h"

namespace moec::codegen::cuda {

struct AttentionGradSchedule {
  int64_t warps = 0, rows = 0; // a block has warps * 4 * rows rows of its own
  int64_t others = 0;          // rows of a tile that they meet
  int64_t valueSlices = 0;     // slices of 64 bytes of the gradients' columns that a block computes
  int64_t stages = 0;

  int64_t tile() const { return warps * 4 * rows; }
  int threads() const { return static_cast<int>(32 * warps); }
  int64_t sharedBytes(DType dtype) const;
  int64_t registers(DType dtype) const; // about
  /// Blocks that share the columns of a head.
  int64_t parts(DType dtype, int64_t headDim) const;

  std::optional<std::string> illegal(DType dtype, int64_t headDim) const;
  mlir::DictionaryAttr attr(mlir::MLIRContext* context) const;
  /// The kernel's own, when it is complete and legal; else a diagnostic.
  static mlir::FailureOr<AttentionGradSchedule> of(ir::KernelOp kernel, const AttentionPlan& plan);
};
AttentionGradSchedule chooseAttentionGrad(const AttentionPlan& plan);

} // namespace moec::codegen::cuda
