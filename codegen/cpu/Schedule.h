#pragma once
// The schedule of kernels that only cut their work into blocks: rows, loops, sums, update and pack.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// About the bytes that an item should write: enough to outweigh handing it out, few enough to stay in the first-level cache.
inline constexpr int64_t kItemBytes = 16 * 1024;

struct BlockSchedule {
  /// What one item has: rows (rows), lines of the last dimension (loops), blocks of columns of the result's rows (sums), elements (update), panels (pack).
  int64_t block;

  bool legal() const { return block >= 1 && block <= (int64_t{1} << 30); }
  mlir::DictionaryAttr toAttr(mlir::MLIRContext* context) const;
  /// The kernel's own; a diagnostic when it is missing or not legal.
  static mlir::FailureOr<BlockSchedule> of(ir::KernelOp kernel);
};

} // namespace moec::codegen::cpu
