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

/// How many of weights (T, K) are no finite numbers, f32 [].
Value nonFinite(Ops& ops, Value weights) {
  mlir::Type element = mlir::cast<mlir::RankedTensorType>(weights.getType()).getElementType();
  Value nothing = ops.sub(weights, weights); // 0, or NaN
  Value isNone = ops.compare(ir::Predicate::NE, nothing, ops.constant({1}, {0}, element));
  return ops.reduceAll(ir::ReduceKind::Sum, ops.cast(isNone, ops.element(DType::F32)));
}

} // namespace

void addStatistics(Site& site, const GateResult& result) {
  if (!site.wantsStatistics() || !result.weights)
    return;
  if (!result.routing) {
    addLoad(site, result.weights);
    return site.addStatistic("non_finite", nonFinite(site.ops(), result.weights));
  }
  Value made;
  if (result.outer) {
    Site outer = site.part("outer");
    outer.addStatistic("non_finite", nonFinite(site.ops(), result.outer->weights));
    Value rows = addCounts(outer, result.outer->routing, {});
    int64_t choices = mlir::cast<ir::RoutingType>(result.routing.getType()).getChoices();
    Ops& ops = site.ops();
    made = ops.mul(rows, ops.constant({}, {static_cast<double>(choices)}, ops.element(DType::F32)));
  }
  addCounts(site, result.routing, made);
  if (!result.outer) // its inner weights are of rows, and what stands behind the count nobody wrote
    site.addStatistic("non_finite", nonFinite(site.ops(), result.weights));
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
