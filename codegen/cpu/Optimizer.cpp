#include "codegen/cpu/Optimizer.h"

#include "codegen/cpu/FewTurns.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/LaneStores.h"

#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/Transforms/Scalar.h"

#include <fmt/format.h>
#include <mutex>

extern "C" {
void LLVMInitializeX86TargetInfo();
void LLVMInitializeX86Target();
void LLVMInitializeX86TargetMC();
void LLVMInitializeX86AsmPrinter();
}

namespace moec::codegen::cpu {

using namespace llvm;

namespace {

// Kernels are written unrolled and in vectors: what is left is to fold and hoist their index arithmetic, to drop tails that sizes rule out, and to vectorise
// loops of elements. Of LLVM's O2 there is no inlining (a stage is called once), no unrolling but of a few turns (it costs as much as all of this, and rows of
// norms are faster without), and no second round of most passes. What a stage's sizes say of each other holds from ipsccp on; gvn is for loads of the launch's
// sizes. {}: indvars, which asks of each address in a block of registers what the loop makes of it, and gains nothing there.
constexpr const char* kPipeline =
    "ipsccp<no-func-spec>,function("
    "simplifycfg,early-cse<memssa>,instcombine<max-iterations=1;no-verify-fixpoint>,reassociate,"
    "loop-mssa(loop-instsimplify,loop-simplifycfg,licm<no-allowspeculation>,loop-rotate<header-duplication>,"
    "licm<allowspeculation>),"
    "simplifycfg,instcombine<max-iterations=1;no-verify-fixpoint>,loop({}loop-deletion),gvn,"
    "instcombine<max-iterations=1;no-verify-fixpoint>,correlated-propagation,adce,loop-mssa(licm<allowspeculation>),simplifycfg,"
    // A vectoriser that meets three turns makes a masked gather of them.
    "unroll-few-turns,loop-vectorize,"
    "instcombine<max-iterations=1;no-verify-fixpoint>,simplifycfg,loop-mssa(licm<allowspeculation>),loop-sink,div-rem-pairs,simplifycfg)";

} // namespace

bool hasRegisterBlock(const Module& module) {
  constexpr int64_t least = 8;
  auto carriesBlock = [](const BasicBlock& block) { return count_if(block.phis(), [](const PHINode& phi) { return phi.getType()->isVectorTy(); }) >= least; };
  return any_of(module, [&](const Function& function) { return any_of(function, carriesBlock); });
}

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
      found->createTargetMachine(triple, target.cpu, target.features, options, Reloc::PIC_, CodeModel::Small, CodeGenOptLevel::Default));
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

  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager calls;
  ModuleAnalysisManager modules;
  PassBuilder builder(&machine);
  // No function of a C library exists where the code will run: no memset for a loop of zeros, no call of exp.
  TargetLibraryInfoImpl library(module.getTargetTriple());
  library.disableAllFunctions();
  functions.registerPass([&] { return TargetLibraryAnalysis(library); });
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(calls);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, calls, modules);
  builder.registerPipelineParsingCallback([](StringRef name, FunctionPassManager& passes, ArrayRef<PassBuilder::PipelineElement>) {
    if (name != "unroll-few-turns")
      return false;
    passes.addPass(UnrollFewTurns());
    return true;
  });
  ModulePassManager passes;
  cantFail(builder.parsePassPipeline(passes, fmt::format(kPipeline, hasRegisterBlock(module) ? "" : "indvars,")));
  passes.run(module, modules);
  storeSingleLanes(module);
}

namespace {

/// LLVM's passes to machine code, without loop strength reduction where there are register blocks: their addresses are a few bases and a step as they are
/// written. The pass weighs each choice of bases against each use, takes a third of the time to machine code, and gains nothing in these loops.
class MachineCodePasses final : public legacy::PassManager {
public:
  explicit MachineCodePasses(const Module& module) : leavesLoops_(hasRegisterBlock(module)) {}

  void add(Pass* pass) override {
    if (leavesLoops_ && pass->getPassID() == strengthReduction_->getPassID())
      delete pass;
    else
      legacy::PassManager::add(pass);
  }

private:
  bool leavesLoops_;
  std::unique_ptr<Pass> strengthReduction_{createLoopStrengthReducePass()}; // its ID has no name of its own
};

} // namespace

bool writeMachineCode(Module& module, TargetMachine& machine, MachineCode form, std::string& bytes) {
  SmallVector<char, 0> buffer;
  raw_svector_ostream stream(buffer);
  MachineCodePasses passes(module);
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
