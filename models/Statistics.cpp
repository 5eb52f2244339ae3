#include "models/Statistics.h"

using mlir::Value;

namespace moec::models {

namespace {

/// `made`: how many choices there are; null: all that the routing has places for. Gives how many were taken, f32 [].
Value addCounts(Site& site, Value routing, Value made) {
  Ops& ops = site.ops();
  mlir::Type element = ops.element(DType::F32);
  auto type = mlir::cast<ir::RoutingType>(routing.getType());
  Value load = ops.cast(ops.expertCounts(routing), element);
  Value taken = ops.reduceAll(ir::ReduceKind::Sum, load);
  if (!made) {
    Size pairs = Size::parse(type.getTokens().getValue().str()) * Size(type.getChoices());
    made = ops.reshape(ops.number(type.getBound() ? Size::parse(type.getBound().getValue().str()) : pairs, element), {});
  }
  site.addStatistic("load", load);
  site.addStatistic("dropped", ops.sub(made, taken));
  return taken;
}

/// 1 where a logit (T, E) is no finite number, else 0: f32.
Value nonFinite(Ops& ops, Value logits) {
  mlir::Type element = mlir::cast<mlir::RankedTensorType>(logits.getType()).getElementType();
  Value nothing = ops.sub(logits, logits); // 0, or NaN
  return ops.cast(ops.compare(ir::Predicate::NE, nothing, ops.constant({1}, {0}, element)), ops.element(DType::F32));
}

/// How many are not. `rowsOf`: the logits are of this routing's rows, and what stands behind its count nobody wrote.
void addNonFinite(Site& site, Value logits, Value rowsOf = {}) {
  if (!site.countsNonFinite() || !logits)
    return;
  Ops& ops = site.ops();
  Value numbers = nonFinite(ops, logits);
  if (rowsOf) {
    auto type = mlir::cast<ir::RoutingType>(rowsOf.getType());
    ir::Sizes choices{Size::parse(type.getTokens().getValue().str()), type.getChoices()};
    Value each = ops.broadcast(ops.constant({1, 1}, {1}, ops.element(DType::F32)), choices);
    numbers = ops.combine(numbers, rowsOf, each);
  }
  site.addStatistic("non_finite", ops.reduceAll(ir::ReduceKind::Sum, numbers));
}

void addCountsOf(Site& site, const GateResult& result) {
  if (!result.routing)
    return addLoad(site, result.weights);
  Value made;
  if (result.outer) {
    Site outer = site.part("outer");
    Value rows = addCounts(outer, result.outer->routing, {});
    int64_t choices = mlir::cast<ir::RoutingType>(result.routing.getType()).getChoices();
    Ops& ops = site.ops();
    made = ops.mul(rows, ops.constant({}, {static_cast<double>(choices)}, ops.element(DType::F32)));
  }
  addCounts(site, result.routing, made);
}

} // namespace

void addStatistics(Site& site, const GateResult& result) {
  if (!result.weights)
    return;
  if (site.wantsStatistics())
    addCountsOf(site, result);
  if (result.outer) {
    Site outer = site.part("outer");
    addNonFinite(outer, result.outer->logits);
  }
  addNonFinite(site, result.logits, result.outer ? result.outer->routing : Value());
}

void addLoad(Site& site, Value weights) {
  if (!site.wantsStatistics() || !weights)
    return;
  ir::Sizes shape = ir::sizesOf(weights);
  Size rows = ir::product(ir::Sizes(shape.begin(), shape.end() - 1));
  weights = site.ops().reshape(site.ops().cast(weights, site.routerElement()), {rows, shape.back()});
  site.addStatistic("load", site.ops().reduce(ir::ReduceKind::Sum, weights, 0));
}

} // namespace moec::models
