// scf and arith to the LLVM dialect, and that to LLVM IR.
#include "codegen/cpu/Lowering.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/DialectConversion.h"

#include "llvm/IR/Module.h"

namespace moec::codegen::cpu {

using namespace mlir;

namespace {

LogicalResult lowerControlFlow(ModuleOp module) {
  RewritePatternSet patterns(module.getContext());
  populateSCFToControlFlowConversionPatterns(patterns);
  ConversionTarget target(*module.getContext());
  target.addIllegalDialect<scf::SCFDialect>();
  target.markUnknownOpDynamicallyLegal([](Operation*) { return true; });
  return applyPartialConversion(module, target, std::move(patterns));
}

LogicalResult lowerToLlvm(ModuleOp module) {
  LLVMTypeConverter types(module.getContext());
  RewritePatternSet patterns(module.getContext());
  arith::populateArithToLLVMConversionPatterns(types, patterns);
  cf::populateControlFlowToLLVMConversionPatterns(types, patterns);
  LLVMConversionTarget target(*module.getContext());
  target.addLegalOp<ModuleOp>();
  return applyFullConversion(module, target, std::move(patterns));
}

} // namespace

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
  mlirContext->appendDialectRegistry(registry);
  std::unique_ptr<llvm::Module> result;
  if (succeeded(lowerControlFlow(module)) && succeeded(lowerToLlvm(module)))
    result = translateModuleToLLVMIR(module, context, "kernel", /*disableVerification=*/true);
  if (!result)
    error = "lowering to LLVM IR failed: " + text;
  return result;
}

} // namespace moec::codegen::cpu
