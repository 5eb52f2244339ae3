#pragma once
// From a module of scf, arith and LLVM ops to machine code in a shared object that needs nothing. Knows no kernel and no op of the dialect.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// The ELF shared object of a module that exports `symbol`. Safe from several threads on modules of different contexts. On failure `error` says what went
/// wrong; it is an internal error always.
mlir::FailureOr<std::vector<uint8_t>> compileToImage(mlir::ModuleOp module, const CpuTarget& target, const std::string& symbol, std::string& error);

/// The optimised code as text.
mlir::FailureOr<std::string> printCode(mlir::ModuleOp module, const CpuTarget& target, CodeText form, std::string& error);

} // namespace moec::codegen::cpu
