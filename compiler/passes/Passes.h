#pragma once
// The passes, in the order in which Compiler.cpp calls them. Each is a plain function on the module or on a function of it; a failure
// has left a diagnostic at the place in the model.

#include "codegen/KernelEmitter.h"
#include "compiler/Compilation.h"
#include "compiler/tune/ScheduleSource.h"
#include "runtime/core/WeightsAs.h"

namespace moec::compiler {

class KernelQueue;

/// What a step of training is made of; the words of CompileOptions.
struct TrainingOptions {
  bool accumulate = false, inputGradients = false;
  bool recompute = false; // cheap forward values are computed again for the backward part, see ChooseRecompute.h
};
/// Phase `grad`: @loss becomes @train_step, or @accumulate and @apply.
mlir::LogicalResult makeTraining(mlir::ModuleOp module, const TrainingOptions& options);

/// Moves slices of rows in front of what computes them row by row: rows that nobody reads are not computed.
mlir::LogicalResult hoistSlices(mlir::func::FuncOp function);

/// Moves reshapes behind elementwise ops: the residual of a MoE layer then has the shape of its combine, and can be fused into it.
mlir::LogicalResult sinkReshapes(mlir::func::FuncOp function);

/// The fusions. Each wraps ops that stand free in the function into moe.kernel ops of its kind; an op in a kernel is never looked at again, so the
/// order of calls is the order of preference.
mlir::LogicalResult fuseTotals(mlir::func::FuncOp function);
mlir::LogicalResult fuseUpdates(mlir::func::FuncOp function);
mlir::LogicalResult fuseGates(mlir::func::FuncOp function);
mlir::LogicalResult fuseExperts(mlir::func::FuncOp function);
mlir::LogicalResult fuseAttention(mlir::func::FuncOp function);
mlir::LogicalResult fuseMatmuls(mlir::func::FuncOp function);
mlir::LogicalResult fuseGradients(mlir::func::FuncOp function);
mlir::LogicalResult fuseRows(mlir::func::FuncOp function);
mlir::LogicalResult fuseLoops(mlir::func::FuncOp function);

/// Kernels of elementwise ops and norms on the rows of experts end at their routing's count.
mlir::LogicalResult boundRows(mlir::func::FuncOp function);

/// The kernels of the way back through a MoE layer's experts become one where the target's emitter wants it so; a layer whose kernels have schedules already
/// stays as it is.
mlir::LogicalResult joinGradients(mlir::func::FuncOp function, codegen::KernelEmitter& emitter);
/// The gate and experts of a MoE layer become one `moe_layer` kernel where the target's emitter wants it so. `mayGiveRows`: also where others read rows of its
/// experts.
mlir::LogicalResult joinLayers(mlir::func::FuncOp function, codegen::KernelEmitter& emitter, bool mayGiveRows);

/// The updates of weights go into the kernels that make their gradients, which nothing else needs, where the target's emitter writes such kernels.
mlir::LogicalResult moveUpdates(mlir::func::FuncOp function, codegen::KernelEmitter& emitter);

/// Gives every kernel of the module a complete schedule.
mlir::LogicalResult chooseSchedules(mlir::ModuleOp module, ScheduleSource& source);

/// Weights of matrix products in the panels that their kernels' schedules ask for: computed by @prepare, or, where weights change with every call, by
/// kernels before those of gates and experts. Needs schedules; must come before buffers are assigned, since it changes what kernels read.
/// With `as`, what @prepare packs of f32 is converted, but for gates' weights; the module's attribute `moe.weights_as` says so where something was.
mlir::LogicalResult packWeights(mlir::ModuleOp module, ScheduleSource& source, const std::optional<WeightsAs>& as = {});
inline constexpr llvm::StringLiteral weightsAsName = "moe.weights_as";

/// Where the results of a row of a call depend on its other rows: as the ops have it, and as the emitter says of the kernels. Of a module for inference or
/// generation whose kernels are complete.
struct FoundCoupling {
  mlir::Location place;
  RowCoupling coupling;
};
std::vector<FoundCoupling> findCouplings(mlir::ModuleOp module, codegen::KernelEmitter& emitter);

/// Puts kernels in front of the first that uses them where that costs no memory (DelayLaunches.h), and those that write parameters and states behind all that
/// read these, then gives every value of the functions a buffer: attribute `moe.buffers` of
/// the module, `reads` and `writes` of kernels.
mlir::LogicalResult assignBuffers(mlir::ModuleOp module);

/// A kernel of a module, the emitter's key of it, and whether no earlier one of the compilation equals it.
struct QueuedKernel {
  ir::KernelOp kernel;
  std::string key;
  bool isNew = false;
};
using KernelsOfModule = std::vector<QueuedKernel>;
/// Every kernel begins its way to machine code; the module must not change until emitKernels().
KernelsOfModule queueKernels(mlir::ModuleOp module, codegen::KernelEmitter& emitter, KernelQueue& queue);
/// Waits for the module's kernels: attribute `symbol` of each, and the images. Counts in `result`.
mlir::LogicalResult emitKernels(Compilation& compilation, const KernelsOfModule& kernels, KernelQueue& queue, CompileResult& result);

/// The plan of a module after `emit`: plain data.
mlir::FailureOr<Plan> makePlan(const Compilation& compilation);

/// What may stand in the module after a phase.
mlir::LogicalResult verifyAfter(Phase phase, mlir::ModuleOp module);

/// Makes the passes that need no emitter known to moec-opt.
void registerPasses();

} // namespace moec::compiler
