#pragma once
// LLVM's optimiser and code generator for a CPU target. Knows nothing of MLIR; a file of its own because its headers are slow.

#include "codegen/KernelEmitter.h"

#include <memory>
#include <string>

namespace llvm {
class Module;
class TargetMachine;
} // namespace llvm

namespace moec::codegen::cpu {

struct CpuTarget;

/// Null with `error` when this LLVM cannot write code for the target.
std::unique_ptr<llvm::TargetMachine> makeTargetMachine(const CpuTarget& target, std::string& error);

/// Whether a loop of it carries a block of sums in vectors (MicroKernel.h): passes that weigh its addresses one by one are left out.
bool hasRegisterBlock(const llvm::Module& module);

/// Marks all functions for the target and optimises them. No pass may bring in a call of a library function.
void optimize(llvm::Module& module, llvm::TargetMachine& machine, const CpuTarget& target);

/// An ELF object, or assembly text.
enum class MachineCode { Object, Assembly };
bool writeMachineCode(llvm::Module& module, llvm::TargetMachine& machine, MachineCode form, std::string& bytes);

} // namespace moec::codegen::cpu
