#pragma once
// Where a model asks a target for more than it has: no mistake of moec, and not to be reported as one.

#include "ir/dialect/Moe.h"

#include "mlir/IR/Diagnostics.h"

namespace moec::codegen {

/// An error at the kernel, "cuda:sm_90a cannot run this: ", to be gone on with; it is known again by isBeyondTarget.
mlir::InFlightDiagnostic beyondTarget(ir::KernelOp kernel, llvm::StringRef target);
bool isBeyondTarget(mlir::Diagnostic& diagnostic);

} // namespace moec::codegen
