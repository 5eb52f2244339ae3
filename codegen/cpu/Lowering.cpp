#include "codegen/cpu/Lowering.h"

#include "codegen/cpu/Translation.h"

#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"

#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Support/raw_ostream.h"

namespace moec::codegen::cpu {

using namespace mlir;

std::unique_ptr<llvm::Module> lowerToLlvmIr(ModuleOp module, llvm::LLVMContext& context, std::string& error) {
  MLIRContext* mlirContext = module.getContext();
  std::string text;
  ScopedDiagnosticHandler handler(mlirContext, [&](Diagnostic& diagnostic) {
    text += diagnostic.str() + "\n";
    return success();
  });
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerTranslations(registry);
  mlirContext->appendDialectRegistry(registry);
  std::unique_ptr<llvm::Module> result = translateModuleToLLVMIR(module, context, "kernel", /*disableVerification=*/true);
  if (!result) {
    error = "lowering to LLVM IR failed: " + text;
    return nullptr;
  }
  llvm::raw_string_ostream problems(text);
  if (llvm::verifyModule(*result, &problems)) { // what Translation.cpp writes nobody else looks at
    error = "lowering to LLVM IR wrote what is not: " + text;
    return nullptr;
  }
  return result;
}

} // namespace moec::codegen::cpu
