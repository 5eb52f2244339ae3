#pragma once
// The functions of a module, by what calls run of them. A module is for inference (@forward), for evaluation (@evaluate), for generation (@generate) or for
// training: @loss before phase `grad`, behind it @train_step, or @accumulate and @apply. Knows no pass.

#include "ir/dialect/Moe.h"

namespace moec::compiler {

using ir::purposeOf;

/// What diagnostics call the functions that a call begins with.
inline constexpr const char* kCalledNames = "@forward, @evaluate, @generate, @train_step or @accumulate";

/// The list of a plan that the function's kernels are launches of; nothing for @loss and functions of other names.
std::optional<LaunchList> listOf(mlir::func::FuncOp function);
/// The module's function of a list, or null.
mlir::func::FuncOp functionOf(mlir::ModuleOp module, LaunchList list);

/// What calls run: all functions but @prepare, in the order of their launches' numbers.
llvm::SmallVector<mlir::func::FuncOp> calledFunctions(mlir::ModuleOp module);

} // namespace moec::compiler
