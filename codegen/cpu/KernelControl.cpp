// KernelBuilder: loops and conditions.
#include "codegen/cpu/KernelBuilder.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace moec::codegen::cpu {

using namespace mlir;

void KernelBuilder::loop(Value low, Value high, Value step, Body body) {
  auto op = scf::ForOp::create(builder_, loc_, low, high, step);
  OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPoint(op.getBody()->getTerminator());
  body(op.getInductionVar());
}

Values KernelBuilder::loop(Value low, Value high, Value step, const Values& first, function_ref<Values(Value, const Values&)> body) {
  if (first.empty()) {
    loop(low, high, step, [&](Value i) { body(i, {}); });
    return {};
  }
  auto op = scf::ForOp::create(builder_, loc_, low, high, step, first);
  OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPointToEnd(op.getBody());
  Values next = body(op.getInductionVar(), Values(op.getRegionIterArgs()));
  scf::YieldOp::create(builder_, loc_, next);
  return Values(op.getResults());
}

void KernelBuilder::when(Value condition, function_ref<void()> body) {
  auto op = scf::IfOp::create(builder_, loc_, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPoint(op.thenBlock()->getTerminator());
  body();
}

Values KernelBuilder::when(Value condition, function_ref<Values()> yes, function_ref<Values()> no) {
  // The result types are known only when a branch is written: write it aside, then move it in.
  Region aside;
  Block* block = &aside.emplaceBlock();
  Values results;
  {
    OpBuilder::InsertionGuard guard(builder_);
    builder_.setInsertionPointToEnd(block);
    results = yes();
    scf::YieldOp::create(builder_, loc_, results);
  }
  auto op = scf::IfOp::create(builder_, loc_, ValueRange(results).getTypes(), condition, /*addThenBlock=*/false,
                              /*addElseBlock=*/true);
  op.getThenRegion().takeBody(aside);
  OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPointToEnd(op.elseBlock());
  Values others = no();
  scf::YieldOp::create(builder_, loc_, others);
  return Values(op.getResults());
}

void KernelBuilder::vectorLoop(Value count, int64_t lanes, function_ref<void(Value, Value)> body) {
  auto known = constantOf(count);
  Value whole = known ? index(*known - *known % lanes) : mul(div(count, lanes), lanes);
  if (known && *known / lanes == 1) // no loop, whose stores LLVM would move behind it as common ones
    body(index(0), {});
  else if (!known || *known >= lanes)
    loop(index(0), whole, index(lanes), [&](Value i) { body(i, {}); });
  if (known) {
    if (*known % lanes != 0)
      body(whole, mask(index(*known % lanes), lanes));
    return;
  }
  when(compare(ir::Predicate::LT, whole, count), [&] { body(whole, mask(sub(count, whole), lanes)); });
}

} // namespace moec::codegen::cpu
