#pragma once
// What a tuner may try of attention, of its gradient, and of attention to kept keys. Blocks of keys to kept keys are none of it: each brings the sums to
// another highest score.

#include "codegen/cpu/CandidateSizes.h"

namespace moec::codegen::cpu {

bool isAttention(ir::KernelOp kernel);
/// Schedules that differ from this one in a choice; some may be refused.
Candidates movesOfAttention(ir::KernelOp kernel, mlir::DictionaryAttr schedule, const CpuTarget& target);
/// KernelEmitter::refuse().
std::optional<std::string> refusalOfAttention(ir::KernelOp kernel, mlir::DictionaryAttr schedule, mlir::DictionaryAttr model, const CpuTarget& target);

} // namespace moec::codegen::cpu
