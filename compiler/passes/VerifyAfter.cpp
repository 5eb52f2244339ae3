#include "compiler/passes/BufferTable.h"
#include "compiler/passes/Functions.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/Updates.h"

#include "mlir/IR/Verifier.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// After fuse: all work is in kernels. Outside stand reads and writes of state, views, and the return.
LogicalResult verifyFused(func::FuncOp function) {
  for (Operation& op : function.getBody().front())
    if (!isa<KernelOp, ReadOp, WriteOp, ReshapeOp, func::ReturnOp>(op))
      return op.emitError("after fuse, '") << op.getName() << "' must stand in a kernel";
  return success();
}

/// Whether a kernel of this kind may hold the op (moe.kernel's description in ir/dialect/MoeOps.td).
bool mayHold(StringRef kind, Operation* op) {
  if (isa<YieldOp, ConstantOp>(op) ||
      (isElementwise(op) && kind != "pack" && kind != "append" && kind != "places" && kind != "swipe" && !kind.contains("attention")))
    return true;
  if (kind == "pack")
    return isa<SliceOp, TransposeOp, CastOp, QuantizeOp, PackOp>(op);
  if (kind == "places")
    return isa<PlacesOp>(op);
  if (kind == "swipe")
    return isa<SwipeOp>(op);
  if (kind == "attention")
    return isa<SliceOp, RandomOp, AttentionOp>(op);
  if (kind == "cached_attention")
    return isa<SliceOp, CachedAttentionOp>(op);
  if (kind == "append")
    return isa<SliceOp, AppendOp>(op);
  if (kind == "attention_grad")
    return isa<SliceOp, ConcatOp, RandomOp, AttentionGradOp>(op);
  if (kind == "weight_grad")
    return isa<GroupedWeightGradOp, ExpertSumsOp, RandomOp>(op);
  if (kind == "weight_update")
    return mayHold("matmul", op) || mayHold("weight_grad", op) || isa<ReshapeOp>(op);
  if (kind == "layer_grad")
    return isa<DispatchOp, RowWeightsOp, UnpackOp, TransposeOp, GroupedMatmulOp, ExpertRowsOp, GroupedWeightGradOp, ExpertSumsOp, ReduceOp>(op);
  if (kind == "sums")
    return isa<EmbeddingGradOp, RelativeBiasGradOp, ExpertSumsOp, RandomOp>(op);
  if (kind == "update")
    return false;
  if (kind == "totals")
    return isa<ReshapeOp, ReduceOp>(op);
  if (kind == "matmul")
    return isa<UnpackOp, DequantizeOp, SliceOp, TransposeOp, MatmulOp, ReduceOp, RandomOp>(op);
  if (kind == "loops")
    return isa<ReshapeOp, TransposeOp, SliceOp, SliceAtOp, ConcatOp, BroadcastOp, EmbeddingOp, ReduceOp, RandomOp, RelativeBiasOp, RotaryOp, SizeOp>(op);
  bool inRows =
      isa<LayerNormOp, RmsNormOp, SoftmaxOp, SelectOp, TakeOp, RandomOp, ReduceOp, SliceOp, ConcatOp, DispatchOp, ExpertRowsOp, RowWeightsOp, CombineOp>(op);
  bool inGradients = isa<LayerNormGradOp, RmsNormGradOp, SoftmaxGradOp, LogSumExpOp, CrossEntropyOp, CrossEntropyGradOp, SelectGradOp, ChoiceValuesOp>(op);
  bool inStatistics = isa<IsTopOp, ExpertCountsOp, SizeOp>(op);
  if (kind == "rows")
    return inRows || inGradients || inStatistics || isa<ReshapeOp>(op);
  bool inGate = inRows || isa<UnpackOp, MatmulOp, AssignOp, DropOp, ExpertsOfOp>(op),
       inExperts = isa<DispatchOp, UnpackOp, DequantizeOp, TransposeOp, GroupedMatmulOp, ExpertRowsOp, CombineOp, RandomOp>(op);
  if (kind == "gate")
    return inGate;
  return (kind.starts_with("expert_") && inExperts) || (kind == "moe_layer" && (inGate || inExperts));
}

LogicalResult verifyBody(KernelOp kernel) {
  for (Operation& op : kernel.getBody().front())
    if (!mayHold(kernel.getKind(), &op))
      return op.emitError("a '") << kernel.getKind() << "' kernel cannot hold '" << op.getName() << "'";
  return success();
}

/// The functions that a module has after a phase, for one purpose, as the names say.
LogicalResult verifyFunctions(Phase phase, ModuleOp module) {
  Purpose purpose = purposeOf(module);
  if (purpose == Purpose::Training && phase == Phase::Import)
    return success();
  if (module.lookupSymbol<func::FuncOp>("loss"))
    return module.emitError("after grad, no function @loss may stand in the module");
  if (!functionOf(module, LaunchList::Forward))
    return module.emitError("the module has no function ") << kCalledNames;
  if (purpose == Purpose::Training && functionOf(module, LaunchList::Prepare))
    return module.emitError("a module for training has no @prepare: weights change with every step");
  bool accumulates = module.lookupSymbol<func::FuncOp>("accumulate"), applies = functionOf(module, LaunchList::Apply) != nullptr;
  if (accumulates != applies)
    return module.emitError("@accumulate and @apply come together: the module has no @") << (applies ? "accumulate" : "apply");
  for (func::FuncOp function : module.getOps<func::FuncOp>())
    if (std::optional<LaunchList> list = listOf(function); !list || function != functionOf(module, *list))
      return function.emitError("no phase knows what calls @") << function.getSymName() << " beside the module's other functions";
  return success();
}

LogicalResult require(KernelOp kernel, StringRef attribute, StringRef phase) {
  if (!kernel->hasAttr(attribute))
    return kernel.emitError("after ") << phase << ", a kernel must have '" << attribute << "'";
  return success();
}

} // namespace

LogicalResult verifyAfter(Phase phase, ModuleOp module) {
  if (failed(verify(module)))
    return failure();
  if (failed(verifyFunctions(phase, module)))
    return failure();
  if (phase <= Phase::Grad) {
    WalkResult result = module.walk([&](KernelOp kernel) {
      kernel.emitError("before fuse, no kernel may stand in the module");
      return WalkResult::interrupt();
    });
    return failure(result.wasInterrupted());
  }
  for (func::FuncOp function : module.getOps<func::FuncOp>()) {
    if (failed(verifyFused(function)))
      return failure();
    if (listOf(function) != LaunchList::Prepare && failed(verifyUpdates(function, phase >= Phase::Plan)))
      return failure();
    for (KernelOp kernel : function.getOps<KernelOp>()) {
      if (failed(verifyBody(kernel)))
        return failure();
      if (phase >= Phase::Schedule && failed(require(kernel, "schedule", "schedule")))
        return failure();
      if (phase >= Phase::Plan && (failed(require(kernel, readsName, "plan")) || failed(require(kernel, writesName, "plan"))))
        return failure();
      if (phase >= Phase::Emit && failed(require(kernel, symbolName, "emit")))
        return failure();
    }
  }
  return success();
}

} // namespace moec::compiler
