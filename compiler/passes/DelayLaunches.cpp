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

} // namespace

void delayLaunches(func::FuncOp function) {
  for (Operation& op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front()))) {
    Operation* first = firstUserOf(op);
    if (!first || !isa<KernelOp, ReshapeOp>(op))
      continue;
    auto kernel = dyn_cast<KernelOp>(op);
    if (!kernel || llvm::all_of(kernel.getInputs(), [&](Value input) { return lastsUntil(input, first); }))
      op.moveBefore(first);
  }
}

} // namespace moec::compiler
