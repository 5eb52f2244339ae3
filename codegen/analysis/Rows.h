#pragma once
// Which ops a program over rows may hold, and what its rows are. For every backend: no target and no schedule.

#include "codegen/analysis/Operands.h"

namespace moec::codegen {

/// Sizes without the last.
ir::Sizes leadingSizes(ir::Sizes sizes);

/// Whether a program over rows can hold the op: elementwise, constant, random, routed, or along the last axis.
bool holdsRows(mlir::Operation* op);
/// Whether a routing tells where in memory the op finds each of its rows: dispatch, expert_rows, row_weights, choice_values, combine. What it reads are
/// arguments.
bool isRouted(mlir::Operation* op);
/// The routing operand of a routed op.
mlir::Value routingOf(mlir::Operation* op);
/// The routing whose count bounds the rows: results have no value behind it, so those rows need not be computed. Either a routing argument that no op reads, or
/// the one that every result is made from. Null where there is none.
mlir::Value raggedRouting(mlir::Operation* yield);
/// Whether the op sees a whole row at once or moves elements along it.
bool worksAlongRows(mlir::Operation* op);
/// The operand whose last axis such an op works along.
mlir::Value rowOperand(mlir::Operation* op);
/// Whether its result has one element per row: reduce, log_sum_exp, cross_entropy.
bool givesOnePerRow(mlir::Operation* op);
/// Leading sizes of these ops' rows: of the first that works along rows, or else of what all elementwise results broadcast to.
ir::Sizes leadingOfRows(llvm::ArrayRef<mlir::Operation*> ops);

/// Values with one element per row: results of reductions, labels and gradients of losses, what is computed from these alone, and their operands of the leading
/// sizes' shape.
llvm::DenseSet<mlir::Value> onePerRow(llvm::ArrayRef<mlir::Operation*> ops, const ir::Sizes& leading);

} // namespace moec::codegen
