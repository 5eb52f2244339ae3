#pragma once
// Which values of a function have rows of a routing, one expert's behind the other's: those behind the count are undefined. Also of values in kernels, by the
// function's routings.

#include "ir/dialect/Moe.h"

namespace moec::compiler {

class RowsOfRoutings {
public:
  explicit RowsOfRoutings(mlir::func::FuncOp function);

  /// Null for a value whose rows are all defined.
  mlir::Value routingOf(mlir::Value value) const { return routings_.lookup(value); }

  /// If the value's rows were the routing's, would some reader use a row behind the count? False where all that read it stop at that count.
  bool isReadBehindCount(mlir::Value value, mlir::Value routing) const;

private:
  mlir::Value routingOfRows(mlir::Value result) const;
  void addKernel(ir::KernelOp kernel);
  bool isReadBehindCount(mlir::Value value, mlir::Value routing, llvm::DenseSet<mlir::Value>& seen) const;

  llvm::DenseMap<mlir::Value, mlir::Value> routings_;
  llvm::DenseMap<mlir::Value, mlir::Value> outer_; // the function's routing by that in a kernel
};

} // namespace moec::compiler
