// RowProgram: rows that a routing finds in memory, and sums of them.
#include "codegen/analysis/Rows.h"
#include "codegen/cpu/RoutingView.h"
#include "codegen/cpu/RowProgram.h"

namespace moec::codegen::cpu {

namespace {

int64_t choicesOf(ir::CombineOp op) { return mlir::cast<ir::RoutingType>(op.getRouting().getType()).getChoices(); }

} // namespace

/// A routed op reads whole tensors: its rows have other indices than the program's.
mlir::LogicalResult RowProgram::checkRouted(mlir::Operation* op) {
  for (mlir::Value operand : op->getOperands())
    if (isComputed(operand) || !bases_.contains(operand))
      return k_.kernel().emitError() << "internal: an operand of " << op->getName() << " must be an argument of its kernel";
  return mlir::success();
}

/// Finds the row's place in memory: no copy is made.
void RowProgram::runRouted(mlir::Operation* op) {
  mlir::Value value = routingOf(op);
  RoutingView routing = RoutingView::of(k_, value, bases_.lookup(value)());
  if (auto combine = mlir::dyn_cast<ir::CombineOp>(op)) {
    for (int64_t choice = 0; choicesOf(combine) <= kFewChoices && choice < choicesOf(combine); ++choice)
      terms_[op].push_back(termOf(combine, k_.index(choice)));
    return;
  }
  if (mlir::isa<ir::ChoiceValuesOp, ir::ExpertCountsOp>(op))
    return; // a row of its own: runChoiceValues writes it, expertCountAt computes it
  mlir::Value from = op->getOperand(0), result = op->getResult(0);
  Value index;
  if (mlir::isa<ir::RowWeightsOp>(op)) {
    Value place = RoutingView::element(k_, routing.rowList(k_), row_), isRow = k_.compare(ir::Predicate::GE, place, k_.index(0));
    Value weight = k_.loadElements(dtypeOf(from), k_.at(bases_.lookup(from)(), k_.max(place, k_.index(0)), dtypeOf(from)), 1);
    scalars_[result] = k_.choose(isRow, weight, k_.zero(weight.getType()));
    return;
  }
  if (mlir::isa<ir::DispatchOp>(op)) {
    // Behind the count the list holds -1: any row will do there.
    Value choice = k_.max(k_.index(0), RoutingView::element(k_, routing.rowList(k_), row_));
    index = k_.div(choice, mlir::cast<ir::RoutingType>(value.getType()).getChoices());
  } else {
    Value& expert = experts_[value];
    if (!expert)
      expert = expertOfRow(k_, routing, row_);
    index = expert;
  }
  memory_[result] = {k_.at(bases_.lookup(from)(), k_.mul(index, k_.size(widthOf(result))), dtypeOf(from)), dtypeOf(from)};
}

RowProgram::Term RowProgram::termOf(ir::CombineOp op, Value choice) {
  RoutingView routing = RoutingView::of(k_, op.getRouting(), bases_.lookup(op.getRouting())());
  DType dtype = dtypeOf(op.getWeights()), ofRows = dtypeOf(op.getRows());
  Value place = k_.add(k_.mul(row_, choicesOf(op)), choice), slot = RoutingView::element(k_, routing.slots(k_), place);
  Value weight = k_.loadElements(dtype, k_.at(bases_.lookup(op.getWeights())(), place, dtype), 1);
  Value row = k_.at(bases_.lookup(op.getRows())(), k_.mul(k_.max(slot, k_.index(0)), k_.size(widthOf(op.getResult()))), ofRows);
  return {weight, k_.compare(ir::Predicate::GE, slot, k_.index(0)), row};
}

/// One choice at a time: there are few, each somewhere else.
void RowProgram::runChoiceValues(ir::ChoiceValuesOp op) {
  mlir::Value result = op.getResult(), column = op.getColumn();
  RoutingView routing = RoutingView::of(k_, op.getRouting(), bases_.lookup(op.getRouting())());
  int64_t choices = mlir::cast<ir::RoutingType>(op.getRouting().getType()).getChoices();
  llvm::SmallVector<Memory> places = placesFor(result);
  Value base = bases_.lookup(column)(), first = k_.mul(row_, choices);
  k_.loop(0, k_.index(choices), 1, [&](Value choice) {
    Value slot = RoutingView::element(k_, routing.slots(k_), k_.add(first, choice)), kept = k_.compare(ir::Predicate::GE, slot, k_.index(0));
    Value value = k_.loadElements(dtypeOf(column), k_.at(base, k_.max(slot, k_.index(0)), dtypeOf(column)), 1);
    At to{choice, 1, {}};
    store(result, k_.choose(kept, value, k_.zero(value.getType())), to, places);
  });
  memory_[result] = places.front();
}

/// The distance from an expert's first row to the next one's.
Value RowProgram::expertCountAt(ir::ExpertCountsOp op, const At& at) {
  RoutingView routing = RoutingView::of(k_, op.getRouting(), bases_.lookup(op.getRouting())());
  auto offset = [&](Value expert) { return k_.loadElements(DType::I32, k_.at(routing.offsets(k_), expert, DType::I32), at.lanes, at.mask); };
  return k_.sub(offset(k_.add(at.position, 1)), offset(at.position));
}

/// The sum over the token's kept choices, in their order.
Value RowProgram::combineAt(ir::CombineOp op, const At& at) {
  DType dtype = dtypeOf(op.getRows());
  auto add = [&](Value sum, const Term& term) {
    Value row = k_.loadElements(dtype, k_.at(term.row, at.position, dtype), at.lanes, at.mask);
    return k_.choose(term.isKept, k_.fma(wide(term.weight, at), row, sum), sum);
  };
  Value sum = k_.zero(k_.vectorOf(k_.typeOf(dtype), at.lanes));
  for (const Term& term : terms_.lookup(op))
    sum = add(sum, term);
  if (choicesOf(op) > kFewChoices)
    sum = k_.loop(k_.index(0), k_.index(choicesOf(op)), k_.index(1), {sum},
                  [&](Value choice, const Values& carried) { return Values{add(carried[0], termOf(op, choice))}; })[0];
  return k_.roundTo(dtypeOf(op.getResult()), sum);
}

} // namespace moec::codegen::cpu
