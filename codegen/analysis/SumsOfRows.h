#pragma once
// Sums of rows that a kernel gives beside the results of its main op: the gradient of a bias beside that of its weight, those of a norm's weight and bias
// beside that of its rows. For every backend: reads the dialect, builds nothing, knows no target and no schedule.

#include "codegen/analysis/Operands.h"

namespace moec::codegen {

/// A result of the kernel: the sum of all rows of a tensor (columns), or of those of each expert (experts, columns).
struct SumOfRows {
  unsigned result;     // of the kernel
  mlir::Value rows;    // (.., columns): an argument, or, in a kernel over rows, what it computes
  mlir::Value routing; // an argument; null: all rows are one sum
  int64_t groups;      // 1, or experts
  Size count, columns; // of the rows
  DType dtype;

  mlir::Operation* op; // moe.reduce or moe.expert_sums
};

struct SumsOfRows {
  /// Of a kernel whose main op is another.
  static SumsOfRows of(ir::KernelOp kernel);

  std::vector<SumOfRows> sums;
  /// The kernel's other results.
  std::vector<unsigned> others;

  llvm::SmallVector<mlir::Value> otherResults(ir::KernelOp kernel) const;
  /// The kernel's ops without those that make the sums of their rows.
  std::vector<mlir::Operation*> otherOps(ir::KernelOp kernel) const;
  /// What the sums take.
  Size operations() const;
};

/// Where rows that are summed up are an argument of the kernel, its place; a diagnostic where they are not.
mlir::FailureOr<unsigned> rowsInput(ir::KernelOp kernel, const SumOfRows& sum);

} // namespace moec::codegen
