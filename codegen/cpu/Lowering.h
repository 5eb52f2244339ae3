#pragma once
// The step from MLIR to LLVM IR, in a file of its own because its headers are slow.

#include "mlir/IR/BuiltinOps.h"

#include <memory>
#include <string>

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace moec::codegen::cpu {

/// LLVM IR of a module of scf, arith and LLVM ops. Null with `error` on failure.
std::unique_ptr<llvm::Module> lowerToLlvmIr(mlir::ModuleOp module, llvm::LLVMContext& context, std::string& error);

} // namespace moec::codegen::cpu
