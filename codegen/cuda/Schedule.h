#pragma once
// Schedules as attributes: named whole numbers. What the numbers mean belongs to the kernels.

#include "codegen/KernelEmitter.h"

namespace moec::codegen::cuda {

mlir::DictionaryAttr toAttr(mlir::MLIRContext* context, llvm::ArrayRef<std::pair<llvm::StringRef, int64_t>> fields);

/// A field of the kernel's schedule; a diagnostic when it is missing or out of range.
mlir::FailureOr<int64_t> fieldOf(ir::KernelOp kernel, llvm::StringRef name, int64_t least, int64_t most);

} // namespace moec::codegen::cuda
