#pragma once
// What a tuner may try instead of the cost model's choice: for each kind of kernel, which entries of its schedule are free. Free is what changes no bit: a
// product's sums take their terms in increasing depth, or in runs that sizes alone decide, however it is cut, and blocks of independent elements are
// independent. What decides the order of a sum, or which zeros are added to it, stays as the cost model has it. Measures nothing.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// KernelEmitter::candidates(). `model`: what the cost model chooses.
std::vector<mlir::DictionaryAttr> candidatesOf(ir::KernelOp kernel, mlir::DictionaryAttr schedule, mlir::DictionaryAttr model, const CpuTarget& target);
/// KernelEmitter::refuse().
std::optional<std::string> refusalOf(ir::KernelOp kernel, mlir::DictionaryAttr schedule, mlir::DictionaryAttr model, const CpuTarget& target);

} // namespace moec::codegen::cpu
