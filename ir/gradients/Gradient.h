#pragma once
// The gradient of every op: a rule emits ops of the dialect that lead from the gradients of an op's results to those of its operands. Knows one op at a
// time and no graph; the reverse pass over a function is compiler/passes/Backpropagate.h.

#include "ir/dialect/Moe.h"

namespace moec::ir {

/// Emits at `builder` the gradients of an op's operands. `dResults` holds one value per result, null where no gradient flows into it; at least one is not
/// null. `dOperands` has one place per operand: those that are null on entry and get a gradient are filled, each with a value of the operand's type; the rest
/// stay null: no gradient flows to ids, indices, labels, conditions and routings. The new ops stand at the op's location. An op that has neither a rule nor a
/// reason to have none (a gradient op, packing, a kernel) is a failure with a diagnostic at it.
mlir::LogicalResult emitGradient(mlir::Operation* op, llvm::ArrayRef<mlir::Value> dResults, mlir::OpBuilder& builder,
                                 llvm::MutableArrayRef<mlir::Value> dOperands);

/// Whether a gradient flows through an op at all: false for what is constant or a choice (compare, assign, drop, experts_of, random, constant ...).
bool passesGradient(mlir::Operation* op);

} // namespace moec::ir
