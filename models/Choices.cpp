#include "models/Choices.h"

using mlir::Value;

namespace moec::models {

namespace {

/// Which rows the routing has: bool (R, K) for K columns of a value of its R rows.
Value isRow(Ops& ops, Value routing, const ir::Sizes& shape) {
  mlir::Type element = ops.element(DType::F32);
  auto type = mlir::cast<ir::RoutingType>(routing.getType());
  ir::Sizes pairs{Size::parse(type.getTokens().getValue().str()), type.getChoices()};
  Value ones = ops.broadcast(ops.constant({1, 1}, {1}, element), pairs);
  Value rows = ops.rowWeights(ones, routing); // (R, 1), 0 behind the count
  return ops.compare(ir::Predicate::NE, ops.broadcast(rows, shape), ops.constant({1}, {0}, element));
}

/// `within`: the weights are of this routing's rows.
void addResult(Site site, Value routing, Value weights, Value within) {
  Ops& ops = site.ops();
  mlir::Type element = ops.element(DType::F32);
  ir::Sizes shape = ir::sizesOf(weights);
  Value ones = ops.broadcast(ops.constant({1, 1}, {1}, element), shape);
  Value taken = ops.choiceValues(ops.rowWeights(ones, routing), routing);
  if (within) {
    mlir::Type own = mlir::cast<mlir::RankedTensorType>(weights.getType()).getElementType();
    weights = ops.where(isRow(ops, within, shape), weights, ops.constant({1}, {0}, own));
  }
  site.addRecord("weights", weights);
  site.addRecord("kept", ops.compare(ir::Predicate::NE, taken, ops.constant({1}, {0}, element)));
}

} // namespace

void addChoices(Site& site, Value indices, Value within) {
  if (!site.records() || !indices)
    return;
  Ops& ops = site.ops();
  Value none = ops.constant({1}, {-1}, ops.element(DType::I32));
  if (within)
    indices = ops.where(isRow(ops, within, ir::sizesOf(indices)), indices, none);
  else if (mlir::isa<mlir::BlockArgument>(indices)) // a result is no input
    indices = ops.binary<ir::MaxOp>(indices, none);
  site.addRecord("choices", indices);
}

void addWeightsAndDrops(Site& site, const GateResult& result) {
  if (!site.records() || !result.weights)
    return;
  if (!result.routing) {
    site.addRecord("weights", result.weights);
  } else if (result.outer) {
    addResult(site.part("outer"), result.outer->routing, result.outer->weights, {});
    addResult(site.part("inner"), result.routing, result.weights, result.outer->routing);
  } else {
    addResult(site, result.routing, result.weights, {});
  }
}

} // namespace moec::models
