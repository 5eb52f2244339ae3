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
  vectorLoop(count, lanes, {}, [&](Value i, Value mask, const Values&) { return body(i, mask), Values(); });
}

Values KernelBuilder::vectorLoop(Value count, int64_t lanes, const Values& first, function_ref<Values(Value, Value, const Values&)> body) {
  auto known = constantOf(count);
  Value whole = known ? index(*known - *known % lanes) : mul(div(count, lanes), lanes);
  Values carried = first;
  if (known && *known / lanes == 1) // no loop, whose stores LLVM would move behind it as common ones
    carried = body(index(0), {}, carried);
  else if (!known || *known >= lanes)
    carried = loop(index(0), whole, index(lanes), carried, [&](Value i, const Values& now) { return body(i, {}, now); });
  auto rest = [&](Value count) { return body(whole, mask(count, lanes), carried); };
  if (known)
    return *known % lanes != 0 ? rest(index(*known % lanes)) : carried;
  Value isRest = compare(ir::Predicate::LT, whole, count);
  if (first.empty())
    return when(isRest, [&] { rest(sub(count, whole)); }), Values();
  return when(isRest, [&] { return rest(sub(count, whole)); }, [&] { return carried; });
}

} // namespace moec::codegen::cpu
