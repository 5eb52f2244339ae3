#include "codegen/cpu/Lowering.h"

#include "codegen/cpu/Translation.h"

#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"

#include "llvm/IR/Module.h"

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
  if (!result)
    error = "lowering to LLVM IR failed: " + text;
  return result;
}

} // namespace moec::codegen::cpu
