#pragma once
// What makes a value, looked up through kernels: a pass that joins kernels compares values that lie in several. Changes nothing.

#include "ir/dialect/Moe.h"

namespace moec::compiler {

/// The value that a kernel's argument stands for; null where it is none.
mlir::Value outside(ir::KernelOp kernel, mlir::Value inner);

/// The op's result or the function's argument that a value is, in whichever kernel: an argument of a kernel is what stands for it, a kernel's result is what
/// its region yields.
mlir::Value originOf(mlir::Value value);

/// Whether two values are one, or made of such by the same elementwise ops and rows of experts' tables: the same bits then, as of what the backward part of a
/// step computes again.
bool isMadeAlike(mlir::Value a, mlir::Value b);

} // namespace moec::compiler
