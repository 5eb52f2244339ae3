#pragma once
// What kernels of generation compute, read from their ops: attention to kept keys and values, and the rows that join them. For every backend: no target and no
// schedule.

#include "codegen/analysis/ProductPlans.h"

namespace moec::codegen {

/// Kind `cached_attention`: q, k and v of new tokens are columns of arguments (B, n, width); keys and values are arguments (B, context, keyHeads * Dh). Query
/// head h reads head h / sharing() of them.
struct CachedAttentionPlan {
  DType dtype;
  Slice q, k, v;
  unsigned keys, values, position;
  Size batch, tokens; // B, n
  int64_t context;
  int64_t heads, headDim;
  double scale;
  int64_t keyHeads;
  std::optional<AttentionBias> bias; // (heads, n, context), or (1, n, context)

  int64_t sharing() const { return heads / keyHeads; }
  int64_t cacheWidth() const { return keyHeads * headDim; }
  /// Rows of scores that read one head of keys: each new token's of each head that shares it.
  Size rows() const { return tokens * Size(sharing()); }

  static mlir::FailureOr<CachedAttentionPlan> of(ir::KernelOp kernel);
};

/// Kind `append`: for each result, columns of an argument (B, n, width) that become its rows position .. position + n - 1. All results are (B, context, W).
struct AppendPlan {
  DType dtype;
  llvm::SmallVector<Slice> rows; // by result
  unsigned position;
  Size batch, tokens; // B, n
  int64_t context, width;

  static mlir::FailureOr<AppendPlan> of(ir::KernelOp kernel);
};

} // namespace moec::codegen
