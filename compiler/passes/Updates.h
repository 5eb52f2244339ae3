#pragma once
// Kernels that write parameters and states in place, and the order in which they may: none reads what an earlier one has written. Knows no buffers.

#include "ir/dialect/Moe.h"

namespace moec::compiler {

/// As many inputs and outputs as a launch may have: their pointers are a GPU kernel's parameters, which take 32764 bytes (CUDA 12.1 and later, sm_70 and
/// later).
inline constexpr size_t kMostBuffers = 4000;

/// The state whose memory a value is: what reads it, seen in any shape. Empty where it is none's.
llvm::StringRef stateOf(mlir::Value value);

/// The write that alone uses a result; null where there is none, or more.
ir::WriteOp writeOf(mlir::Value output);

/// The kernels of a called function whose results are written to parameters and states.
llvm::SmallVector<ir::KernelOp> updatesOf(mlir::func::FuncOp function);

/// A kernel of kind `update` that gives its operand as it is, and so writes it where the result is written.
mlir::Value copyOf(mlir::Value value, llvm::StringRef label, mlir::Location loc, mlir::OpBuilder& builder);

/// Where two kernels read what the other writes, one writes to the side, and copies of that take its place as updates.
void breakCycles(mlir::func::FuncOp function);

/// The updates in as few groups as can be: no kernel reads what another one of its group writes, and each group stands behind all that reads what it
/// writes. There are no cycles.
mlir::FailureOr<llvm::SmallVector<llvm::SmallVector<ir::KernelOp>>> levelsOf(mlir::func::FuncOp function);

/// Makes one kernel of the updates: of several only where one reads what another writes, or where there are more than kMostBuffers. Numbers that updates alone
/// need are computed in it. There are no cycles.
mlir::LogicalResult joinUpdates(mlir::func::FuncOp function);

/// Moves the updates and their writes to the function's end, behind all that reads what they write; appends and updates of weights only so far. There are no
/// cycles.
mlir::LogicalResult placeUpdates(mlir::func::FuncOp function);

/// Failure with a diagnostic unless:
/// - what is written to a state is a result of an `update`, `weight_update` or `append` kernel, and nothing else uses it;
/// - such a kernel gives nothing else; a `weight_update` may, but writes one state at least;
/// - what a kernel reads of a state that it writes, it reads element by element;
/// - an `append` writes each result to the state that it appends to;
/// - with `placed`, no kernel reads a state behind the kernel that writes it.
mlir::LogicalResult verifyUpdates(mlir::func::FuncOp function, bool placed);

} // namespace moec::compiler
