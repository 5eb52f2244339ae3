#include "codegen/cpu/FewTurns.h"

#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/Analysis/AssumptionCache.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/Analysis/OptimizationRemarkEmitter.h"
#include "llvm/Analysis/ScalarEvolution.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/IR/Dominators.h"
#include "llvm/Transforms/Utils/LoopSimplify.h"
#include "llvm/Transforms/Utils/LoopUtils.h"
#include "llvm/Transforms/Utils/UnrollLoop.h"

namespace moec::codegen::cpu {

using namespace llvm;

namespace {

constexpr unsigned kMostTurns = 8;
constexpr unsigned kMostInstructions = 192; // of all turns together, as LLVM counts them

/// 0: too many, or not known. A loop that may be left out counts as well: it has its turns or none.
unsigned fewTurnsOf(const Loop* loop, ScalarEvolution& evolution) {
  unsigned turns = evolution.getSmallConstantTripCount(loop);
  if (turns == 0 && evolution.isBackedgeTakenCountMaxOrZero(loop))
    turns = evolution.getSmallConstantMaxTripCount(loop);
  return turns <= kMostTurns ? turns : 0;
}

bool isShort(const Loop* loop, unsigned turns, const TargetTransformInfo& costs) {
  constexpr unsigned ofLoopItself = 2; // a comparison and a branch, which unrolling takes away
  SmallPtrSet<const Value*, 1> noAssumptions;
  UnrollCostEstimator cost(loop, costs, noAssumptions, ofLoopItself);
  return cost.canUnroll() && (cost.getRolledLoopSize() - ofLoopItself) * turns + ofLoopItself < kMostInstructions;
}

} // namespace

PreservedAnalyses UnrollFewTurns::run(Function& function, FunctionAnalysisManager& analyses) {
  LoopInfo& loops = analyses.getResult<LoopAnalysis>(function);
  if (loops.empty())
    return PreservedAnalyses::all();
  auto& evolution = analyses.getResult<ScalarEvolutionAnalysis>(function);
  auto& costs = analyses.getResult<TargetIRAnalysis>(function);
  auto& dominators = analyses.getResult<DominatorTreeAnalysis>(function);
  auto& assumptions = analyses.getResult<AssumptionAnalysis>(function);
  auto& remarks = analyses.getResult<OptimizationRemarkEmitterAnalysis>(function);
  bool hasChanged = false;
  auto outerFirst = loops.getLoopsInPreorder();
  for (Loop* loop : reverse(outerFirst)) {
    unsigned turns = fewTurnsOf(loop, evolution);
    if (turns == 0 || !isShort(loop, turns, costs))
      continue;
    hasChanged |= simplifyLoop(loop, &dominators, &loops, &evolution, &assumptions, nullptr, /*PreserveLCSSA=*/false);
    hasChanged |= formLCSSARecursively(*loop, dominators, &loops, &evolution);
    UnrollLoopOptions options{.Count = turns};
    hasChanged |=
        UnrollLoop(loop, options, &loops, &evolution, &dominators, &assumptions, &costs, &remarks, /*PreserveLCSSA=*/true) != LoopUnrollResult::Unmodified;
  }
  return hasChanged ? PreservedAnalyses::none() : PreservedAnalyses::all();
}

} // namespace moec::codegen::cpu
