#pragma once
// The elementwise ops of the dialect and random draws as code, on scalars or vectors in registers. Knows no loop and no memory.

#include "codegen/analysis/Operands.h"
#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// The result of an elementwise op (ir::isElementwise) from its operands' elements, all with the same lanes, in KernelBuilder::typeOf() of
/// their dtypes. Results of dtype bf16 are rounded. Null for an op that has no code here.
Value elementwise(KernelBuilder& k, mlir::Operation* op, llvm::ArrayRef<Value> operands);
/// About how many operations an element of the op's result takes.
int64_t elementCost(mlir::Operation* op);
/// The size as a number of its dtype.
Value numberOf(KernelBuilder& k, ir::SizeOp op);

/// Draws of runtime/core/Philox.h, bit for bit: `element` (i64, scalar or vector) is the row-major index, `stream` an index for KernelBuilder::stream.
Value drawAt(KernelBuilder& k, ir::Distribution distribution, DType dtype, unsigned stream, Value element);

} // namespace moec::codegen::cpu
