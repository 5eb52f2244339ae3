#include "codegen/Limits.h"

namespace moec::codegen {

namespace {

constexpr llvm::StringLiteral kMark = "beyond the target";

} // namespace

mlir::InFlightDiagnostic beyondTarget(ir::KernelOp kernel, llvm::StringRef target) {
  mlir::InFlightDiagnostic diagnostic = kernel.emitError();
  diagnostic << target << " cannot run this: ";
  diagnostic.getUnderlyingDiagnostic()->getMetadata().push_back(mlir::DiagnosticArgument(kMark));
  return diagnostic;
}

bool isBeyondTarget(mlir::Diagnostic& diagnostic) {
  return llvm::any_of(diagnostic.getMetadata(), [](const mlir::DiagnosticArgument& one) {
    return one.getKind() == mlir::DiagnosticArgument::DiagnosticArgumentKind::String && one.getAsString() == kMark;
  });
}

} // namespace moec::codegen
