#pragma once
// What a kernel of kind `attention_grad` computes, read from its op. For every backend: no target and no schedule.

#include "codegen/analysis/ProductPlans.h"

namespace moec::codegen {

/// dy, q, k and v are columns of arguments (B, N, width). Query head h reads head h / sharing() of k and v.
struct AttentionGradPlan {
  ir::AttentionGradOp op;
  DType dtype;
  Slice dy, q, k, v;
  Size batch, queries, keys;
  int64_t heads, headDim;
  double scale;
  bool causal;
  int64_t keyHeads;
  std::optional<AttentionBias> bias;
  std::optional<unsigned> dq, dk, dv, dbias; // among the kernel's results; nothing for what it does not give

  int64_t sharing() const { return heads / keyHeads; }

  static mlir::FailureOr<AttentionGradPlan> of(ir::KernelOp kernel);
};

} // namespace moec::codegen
