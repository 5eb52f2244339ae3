#include "codegen/cpu/Optimizer.h"

#include "codegen/cpu/KernelBuilder.h"

#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"

#include <mutex>

extern "C" {
void LLVMInitializeX86TargetInfo();
void LLVMInitializeX86Target();
void LLVMInitializeX86TargetMC();
void LLVMInitializeX86AsmPrinter();
}

namespace moec::codegen::cpu {

using namespace llvm;

std::unique_ptr<TargetMachine> makeTargetMachine(const CpuTarget& target, std::string& error) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
  });
  Triple triple("x86_64-unknown-linux-gnu");
  const Target* found = TargetRegistry::lookupTarget(triple, error);
  if (!found)
    return nullptr;
  TargetOptions options;
  options.AllowFPOpFusion = FPOpFusion::Strict; // a product and a sum round twice, on every target
  std::unique_ptr<TargetMachine> machine(
      found->createTargetMachine(triple, target.cpu, /*Features=*/"", options, Reloc::PIC_, CodeModel::Small, CodeGenOptLevel::Default));
  if (!machine)
    error = "LLVM has no code generator for " + target.cpu;
  return machine;
}

void optimize(Module& module, TargetMachine& machine, const CpuTarget& target) {
  module.setDataLayout(machine.createDataLayout());
  module.setTargetTriple(machine.getTargetTriple());
  module.setPICLevel(PICLevel::SmallPIC);
  for (Function& function : module) {
    function.addFnAttr("target-cpu", target.cpu);
    function.addFnAttr("prefer-vector-width", std::to_string(target.vectorBytes * 8));
    function.addFnAttr("no-builtins");
    function.setDoesNotThrow();
  }

  PipelineTuningOptions tuning;
  tuning.LoopVectorization = true;
  tuning.SLPVectorization = false;
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager calls;
  ModuleAnalysisManager modules;
  PassBuilder builder(&machine, tuning);
  // No function of a C library exists where the code will run: no memset for a loop of zeros, no call of exp.
  TargetLibraryInfoImpl library(module.getTargetTriple());
  library.disableAllFunctions();
  functions.registerPass([&] { return TargetLibraryAnalysis(library); });
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(calls);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, calls, modules);
  builder.buildPerModuleDefaultPipeline(OptimizationLevel::O2).run(module, modules);
}

bool writeMachineCode(Module& module, TargetMachine& machine, MachineCode form, std::string& bytes) {
  SmallVector<char, 0> buffer;
  raw_svector_ostream stream(buffer);
  legacy::PassManager passes;
  TargetLibraryInfoImpl library(module.getTargetTriple());
  library.disableAllFunctions();
  passes.add(new TargetLibraryInfoWrapperPass(library));
  CodeGenFileType type = form == MachineCode::Object ? CodeGenFileType::ObjectFile : CodeGenFileType::AssemblyFile;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, type))
    return false;
  passes.run(module);
  bytes.assign(buffer.begin(), buffer.end());
  return true;
}

} // namespace moec::codegen::cpu
