#pragma once
// The gradient of every op: a rule emits ops of the dialect that lead from the gradients of an op's results to those of its operands. Knows one op at a
// time and no graph; the reverse pass over a function is compiler/passes/Backpropagate.h.

#include "ir/dialect/Moe.h"

namespace moec::ir {

/// Emits at `builder` the gradients of an op's operands. `dResults` holds one value per result, of its type, null where no gradient flows into it; one at least
/// is not null. `dOperands` has one place per operand, null on entry: those that a gradient flows to are filled with a value of the operand's type. None flows
/// to ids, indices, labels, conditions, routings and other integers, nor through what is constant or a choice. All operands that can have a gradient get one,
/// wanted or not; ops whose results stay without use are the caller's to erase. The new ops stand at the op's location. An op without a rule (a gradient op,
/// packing, a kernel) is a failure with a diagnostic at it.
mlir::LogicalResult emitGradient(mlir::Operation* op, llvm::ArrayRef<mlir::Value> dResults, mlir::OpBuilder& builder,
                                 llvm::MutableArrayRef<mlir::Value> dOperands);

/// Whether a value is one that gradients flow to: a tensor of floats.
bool isDifferentiable(mlir::Value value);

} // namespace moec::ir
