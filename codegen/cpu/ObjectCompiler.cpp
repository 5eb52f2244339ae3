#include "codegen/cpu/ObjectCompiler.h"

#include "codegen/cpu/Linker.h"
#include "codegen/cpu/Lowering.h"
#include "codegen/cpu/Optimizer.h"

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"

namespace moec::codegen::cpu {

namespace {

/// A kernel between MLIR and bytes.
struct Compilation {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::TargetMachine> machine;
  std::unique_ptr<llvm::Module> module;

  bool optimized(mlir::ModuleOp source, const CpuTarget& target, std::string& error) {
    machine = makeTargetMachine(target, error);
    if (!machine)
      return false;
    module = lowerToLlvmIr(source, context, error);
    if (!module)
      return false;
    optimize(*module, *machine, target);
    return true;
  }
};

} // namespace

mlir::FailureOr<std::vector<uint8_t>> compileToImage(mlir::ModuleOp module, const CpuTarget& target, const std::string& symbol, std::string& error) {
  Compilation compilation;
  if (!compilation.optimized(module, target, error))
    return mlir::failure();
  llvm::Function* entry = compilation.module->getFunction(symbol);
  if (!entry || entry->isDeclaration()) {
    error = "the module does not define " + symbol;
    return mlir::failure();
  }
  std::string object;
  if (!writeMachineCode(*compilation.module, *compilation.machine, MachineCode::Object, object)) {
    error = "LLVM cannot write objects for " + target.cpu;
    return mlir::failure();
  }
  auto image = linkShared(object, error);
  if (!image)
    return mlir::failure();
  return std::move(*image);
}

mlir::FailureOr<std::string> printCode(mlir::ModuleOp module, const CpuTarget& target, CodeText form, std::string& error) {
  Compilation compilation;
  std::string text;
  if (!compilation.optimized(module, target, error))
    return mlir::failure();
  if (form == CodeText::Asm) {
    if (!writeMachineCode(*compilation.module, *compilation.machine, MachineCode::Assembly, text)) {
      error = "LLVM cannot write assembly for " + target.cpu;
      return mlir::failure();
    }
    return text;
  }
  llvm::raw_string_ostream stream(text);
  compilation.module->print(stream, nullptr);
  return text;
}

} // namespace moec::codegen::cpu
