#include "compiler/passes/BufferTable.h"
#include "compiler/passes/Passes.h"

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
  if (isa<YieldOp, ConstantOp>(op) || (isElementwise(op) && kind != "pack" && kind != "attention"))
    return true;
  if (kind == "pack")
    return isa<PackOp>(op);
  if (kind == "attention")
    return isa<SliceOp, AttentionOp>(op);
  if (kind == "matmul")
    return isa<UnpackOp, MatmulOp>(op);
  if (kind == "loops")
    return isa<ReshapeOp, TransposeOp, SliceOp, ConcatOp, BroadcastOp, EmbeddingOp, ReduceOp, RandomOp>(op);
  bool inRows = isa<LayerNormOp, SoftmaxOp, SelectOp, RandomOp, ReduceOp, SliceOp, ConcatOp, DispatchOp, ExpertRowsOp, RowWeightsOp, CombineOp>(op);
  if (kind == "rows")
    return inRows;
  bool inGate = inRows || isa<UnpackOp, MatmulOp, AssignOp, DropOp, ExpertsOfOp>(op), inExperts = isa<DispatchOp, UnpackOp, GroupedMatmulOp, ExpertRowsOp, CombineOp>(op);
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

LogicalResult require(KernelOp kernel, StringRef attribute, StringRef phase) {
  if (!kernel->hasAttr(attribute))
    return kernel.emitError("after ") << phase << ", a kernel must have '" << attribute << "'";
  return success();
}

} // namespace

LogicalResult verifyAfter(Phase phase, ModuleOp module) {
  if (failed(verify(module)))
    return failure();
  if (!module.lookupSymbol<func::FuncOp>("forward"))
    return module.emitError("the module has no function @forward");
  if (phase == Phase::Import) {
    WalkResult result = module.walk([&](KernelOp kernel) {
      kernel.emitError("before fuse, no kernel may stand in the module");
      return WalkResult::interrupt();
    });
    return failure(result.wasInterrupted());
  }
  for (func::FuncOp function : module.getOps<func::FuncOp>()) {
    if (failed(verifyFused(function)))
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
