#pragma once
// A pass that unrolls loops of a few known turns whole. LLVM's asks of every loop what unrolling would make of each of its instructions, and takes a tenth of
// a kernel's time for it; blocks of registers are unrolled as they are written.

#include "llvm/IR/PassManager.h"

namespace moec::codegen::cpu {

struct UnrollFewTurns : llvm::PassInfoMixin<UnrollFewTurns> {
  static llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
};

} // namespace moec::codegen::cpu
