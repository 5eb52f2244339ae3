#pragma once
// What kernels of kind `loops` compute: elements of one shape, each from the arguments by itself. For every backend: reads the dialect, builds nothing, knows
// no target and no schedule.

#include "codegen/analysis/Operands.h"

namespace moec::codegen {

/// Whether an element of the op's result can be told from elements of its operands: what a kernel of loops holds.
bool isOfElements(mlir::Operation* op);

struct LoopsPlan {
  ir::Sizes sizes; // of every result

  /// A diagnostic for results of two shapes, and for an op that is not of elements.
  static mlir::FailureOr<LoopsPlan> of(ir::KernelOp kernel);
  /// All ops', where an element of one takes `costOf(op)`.
  static Size operations(ir::KernelOp kernel, llvm::function_ref<int64_t(mlir::Operation*)> costOf);
};

} // namespace moec::codegen
