#pragma once
// What travels from phase to phase: the module, and after `emit` the kernels' images.

#include "codegen/KernelEmitter.h"
#include "runtime/Compile.h"

namespace moec::compiler {

struct Compilation {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::string target;                                 // "cpu:x86-64-v3"; empty before schedule
  std::map<std::string, codegen::KernelImage> images; // by symbol, after emit
};

/// The phases, in order.
enum class Phase { Import, Grad, Fuse, Schedule, Plan, Emit, Pack }; // grad: of a module for training alone
inline constexpr const char* phaseNames[] = {"import", "grad", "fuse", "schedule", "plan", "emit", "pack"};
std::optional<Phase> parsePhase(std::string_view name);

/// The text of a phase's dump, which parseDump() reads back: the module with its locations, and the images as attributes of it.
std::string dumpText(const Compilation& compilation);
/// Diagnostics go to the context's handler.
mlir::FailureOr<Compilation> parseDump(llvm::StringRef text, llvm::StringRef fileName, mlir::MLIRContext* context);

/// The small device that runs launches by the reference interpreter, from the IR that a program carries.
std::shared_ptr<Device> makeReferenceDevice();

} // namespace moec::compiler
