#pragma once
// What a tuner may try of a MoE layer in one launch: tokens of a block, rows of a group, register blocks. A token's sums run over depths and choices alone,
// so that all of it changes no bit.

#include "codegen/cpu/CandidateSizes.h"

namespace moec::codegen::cpu {

/// Schedules that differ from this one in a choice; some may be refused.
Candidates movesOfLayer(ir::KernelOp kernel, mlir::DictionaryAttr schedule, const CpuTarget& target);
/// KernelEmitter::refuse().
std::optional<std::string> refusalOfLayer(ir::KernelOp kernel, mlir::DictionaryAttr schedule, mlir::DictionaryAttr model, const CpuTarget& target);

} // namespace moec::codegen::cpu
