#pragma once
// How LLVM IR is made of arith and scf ops, without the LLVM dialect between them. Knows the ops that KernelBuilder writes, and refuses others.

namespace mlir {
class DialectRegistry;
}

namespace moec::codegen::cpu {

/// Lets mlir::translateModuleToLLVMIR take ops of arith and scf.
void registerTranslations(mlir::DialectRegistry& registry);

} // namespace moec::codegen::cpu
