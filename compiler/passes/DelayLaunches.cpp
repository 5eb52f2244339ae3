#include "compiler/passes/DelayLaunches.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// The first op that uses a result of the op; null without one.
Operation* firstUserOf(Operation& op) {
  Operation* first = nullptr;
  for (Operation* user : op.getUsers())
    if (!first || user->isBeforeInBlock(first))
      first = user;
  return first;
}

/// Whether a kernel, or the function's end, uses the value at `op` or behind it, in any shape.
bool isUsedFrom(Value value, Operation* op) {
  return llvm::any_of(value.getUsers(),
                      [&](Operation* user) { return isa<ReshapeOp>(user) ? isUsedFrom(user->getResult(0), op) : !user->isBeforeInBlock(op); });
}

/// Whether a value has its memory until `op`: it is no launch's result, or is used there or behind.
bool lastsUntil(Value value, Operation* op) {
  while (auto reshape = value.getDefiningOp<ReshapeOp>())
    value = reshape.getX();
  return !value.getDefiningOp<KernelOp>() || isUsedFrom(value, op);
}

bool packs(KernelOp kernel) { return kernel.getKind() == "pack"; }

/// Whether a kernel of experts uses what the gate chose.
bool isPartOf(KernelOp kernel, KernelOp gate) {
  return kernel.getKind().starts_with("expert_") &&
         llvm::any_of(kernel.getInputs(), [&](Value input) { return isa<RoutingType>(input.getType()) && input.getDefiningOp() == gate; });
}

/// Of all that stands from the first launch of a MoE layer to its last, one behind the other but for weights' panels: the first. That is one launch on some
/// targets and several on others, and what stands around it has the same order on all.
llvm::DenseMap<Operation*, Operation*> beginsOfLayers(func::FuncOp function) {
  llvm::DenseMap<Operation*, Operation*> begins;
  for (KernelOp kernel : function.getOps<KernelOp>()) {
    if (kernel.getKind() == "moe_layer")
      begins[kernel] = kernel;
    if (kernel.getKind() != "gate")
      continue;
    SmallVector<Operation*> span{kernel};
    for (Operation* op = kernel->getNextNode(); op; op = op->getNextNode()) {
      auto next = dyn_cast<KernelOp>(op);
      span.push_back(op);
      if (next && isPartOf(next, kernel)) {
        for (Operation* part : span)
          begins[part] = kernel;
        if (next.getKind() == "expert_down")
          break;
      } else if (!isa<ReadOp>(op) && !(next && packs(next))) {
        break;
      }
    }
  }
  return begins;
}

} // namespace

void delayLaunches(func::FuncOp function) {
  llvm::DenseMap<Operation*, Operation*> begins = beginsOfLayers(function);
  for (Operation& op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front()))) {
    Operation* first = firstUserOf(op);
    if (!first || !isa<KernelOp, ReshapeOp>(op))
      continue;
    auto kernel = dyn_cast<KernelOp>(op);
    bool waitsInLayer = kernel && packs(kernel); // panels of one weight at a time
    if (!waitsInLayer && begins.contains(&op))
      continue;
    Operation* place = waitsInLayer || !begins.contains(first) ? first : begins.lookup(first);
    if (!kernel || llvm::all_of(kernel.getInputs(), [&](Value input) { return lastsUntil(input, place); }))
      op.moveBefore(place);
  }
}

} // namespace moec::compiler
