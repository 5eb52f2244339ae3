// Choices and ragged rows. Rows behind the routing's count hold anything, in gradients as in values; every rule that leaves the ragged space (combine,
// choice_values, expert_sums, grouped_weight_grad) reads kept rows alone.

#include "ir/gradients/Rules.h"
#include "ir/ops/Infer.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moec::ir {

namespace {

/// The values alone; who was chosen has no gradient.
void emitSelect(Rule& rule, SelectOp op) {
  if (!rule.dy(0))
    return;
  int64_t experts = *sizesOf(op.getScores())[1].constant();
  rule.give(0, rule.create<SelectGradOp>(rule.dy(0), op.getIndices(), static_cast<uint64_t>(experts)));
}

/// Each token's rows added up: combine by weights of 1.
void emitDispatch(Rule& rule, DispatchOp op) {
  auto routing = cast<RoutingType>(op.getRouting().getType());
  Value ones = rule.filled(1, {tokensOf(routing), routing.getChoices()}, Rule::elementOf(rule.dy()));
  rule.give(0, rule.create<CombineOp>(rule.dy(), op.getRouting(), ones));
}

/// drows[r] = weight of r * dy[token of r]; dweights[t, c] = dy[t] . rows[row of (t, c)]. In the weights' dtype where rows are bf16 and weights f32.
void emitCombine(Rule& rule, CombineOp op) {
  Value routing = op.getRouting();
  Type compute = Rule::elementOf(op.getWeights());
  Value dy = rule.cast(rule.create<DispatchOp>(rule.dy(), routing), compute);
  Value weights = rule.create<RowWeightsOp>(op.getWeights(), routing);
  rule.give(0, rule.cast(rule.mul(dy, weights), Rule::elementOf(op.getRows())));
  Value products = rule.reduce(ReduceKind::Sum, rule.mul(dy, rule.cast(op.getRows(), compute)), 1);
  rule.give(2, rule.create<ChoiceValuesOp>(rule.reshape(products, {sizesOf(op.getRows())[0], 1}), routing));
}

void emitGroupedMatmul(Rule& rule, GroupedMatmulOp op) {
  Value dy = rule.dy();
  rule.give(0, rule.create<GroupedMatmulOp>(dy, rule.transpose(op.getW()), op.getRouting()));
  rule.give(1, rule.create<GroupedWeightGradOp>(dy, op.getRows(), op.getRouting()));
}

} // namespace

std::optional<LogicalResult> emitRoutingGradient(Rule& rule) {
  bool known = true;
  Value dy = rule.dy();
  llvm::TypeSwitch<Operation*>(rule.op())
      .Case([&](SelectOp op) { emitSelect(rule, op); })
      .Case([&](TakeOp op) {
        int64_t experts = *sizesOf(op.getX())[1].constant();
        rule.give(0, rule.create<SelectGradOp>(dy, op.getIndices(), static_cast<uint64_t>(experts)));
      })
      .Case([&](DispatchOp op) { emitDispatch(rule, op); })
      .Case([&](CombineOp op) { emitCombine(rule, op); })
      .Case([&](GroupedMatmulOp op) { emitGroupedMatmul(rule, op); })
      .Case([&](ExpertRowsOp op) { rule.give(0, rule.create<ExpertSumsOp>(dy, op.getRouting())); })
      .Case([&](ExpertSumsOp op) { rule.give(0, rule.create<ExpertRowsOp>(dy, op.getRouting())); })
      .Case([&](RowWeightsOp op) { rule.give(0, rule.create<ChoiceValuesOp>(dy, op.getRouting())); })
      .Case([&](ChoiceValuesOp op) { rule.give(0, rule.create<RowWeightsOp>(dy, op.getRouting())); })
      .Default([&](Operation*) { known = false; });
  return known ? std::optional(success()) : std::nullopt;
}

} // namespace moec::ir
