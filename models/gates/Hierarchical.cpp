#include "models/Layers.h"
#include "models/gates/Top2Level.h"

#include <fmt/format.h>

using mlir::Value;

namespace moec::models {

namespace {

/// 1 where a row has more than half of its token's weight, 0.5 where it has some, else 0: (R, 1).
Value importanceOf(Ops& ops, Value weights, Value routing, mlir::Type element) {
  Value weight = ops.rowWeights(weights, routing);
  auto isMore = [&](double than) { return ops.cast(ops.compare(ir::Predicate::GT, weight, ops.constant({1}, {than}, element)), element); };
  return ops.mul(ops.add(isMore(0.5), isMore(0)), ops.constant({1}, {0.5}, element));
}

/// Of rows (R, N) of the outer level the sums by row of the batch and group of experts: (G, outer groups, N).
Value sumsByGroup(Ops& ops, Value rows, const Top2Choices& outer, Value outerRouting, const Size& batch, int64_t outerCount, mlir::Type element) {
  ir::Sizes shape = ir::sizesOf(outer.indices);
  int64_t choices = *shape[1].constant();
  // (T, n) as (G, n, T / G)
  auto byBatch = [&](Value x) {
    Size each = Size::floorDiv(shape[0], batch);
    return ops.transpose(ops.reshape(x, {batch, each, ir::sizesOf(x)[1]}), {0, 2, 1});
  };
  Value sum;
  for (int64_t choice = 0; choice < choices; ++choice) {
    std::vector<double> only(static_cast<size_t>(choices));
    only[static_cast<size_t>(choice)] = 1;
    Value weights = ops.broadcast(ops.constant({1, choices}, only, element), shape);
    Value ofTokens = ops.combine(rows, outerRouting, weights); // (T, N)
    Value groups = oneHot(ops, ops.slice(outer.indices, 1, choice, 1), outerCount, element);
    Value part = ops.matmul(byBatch(groups), byBatch(ofTokens));
    sum = sum ? ops.add(sum, part) : part;
  }
  return sum;
}

/// The balance loss of the inner gates: each group of experts in each row of the batch, of as many tokens as it takes.
Value innerLoss(Site& site, const Top2Choices& outer, const Top2Choices& inner, Value outerRouting, int64_t outerCount) {
  if (!outer.indices || !inner.firsts || !inner.scores)
    return {};
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  Value places = ops.number(outer.capacity, element);
  auto means = [&](Value rows) { return ops.div(sumsByGroup(ops, rows, outer, outerRouting, site.groups(), outerCount, element), places); };
  double experts = static_cast<double>(*ir::sizesOf(inner.scores)[1].constant());
  Value mean = ops.reduceAll(ir::ReduceKind::Mean, ops.mul(means(inner.firsts), means(inner.scores)));
  return ops.mul(mean, ops.constant({1}, {experts * experts}, element));
}

/// A number for each row of the outer routing (R, 1), summed over the rows that came to a group: (1, 1).
Value sumOfRows(Ops& ops, Value rows, Value outerRouting, const ir::Sizes& choices, mlir::Type element) {
  Value each = ops.broadcast(ops.constant({1, 1}, {1}, element), choices);
  return ops.reduceAll(ir::ReduceKind::Sum, ops.combine(rows, outerRouting, each));
}

/// The mean of z over the rows that came to a group; 0 where none did.
Value innerZ(Site& site, Value logits, const Top2Choices& outer, Value outerRouting) {
  if (!logits || !outer.indices)
    return {};
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  ir::Sizes choices = ir::sizesOf(outer.indices);
  Value z = ops.logSumExp(logits), square = ops.reshape(ops.mul(z, z), {ir::sizesOf(logits)[0], 1});
  Value kept = keptChoices(ops, outerRouting, choices[0], *choices[1].constant(), element);
  Value count = ops.reduceAll(ir::ReduceKind::Sum, kept);
  count = ops.binary<ir::MaxOp>(count, ops.constant({}, {1}, element));
  return ops.div(sumOfRows(ops, square, outerRouting, choices, element), count);
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, Value tokens, int64_t experts) {
  std::optional<int64_t> width = site.width(tokens);
  int64_t outerCount = arguments.integer("outer");
  if (!width)
    return std::nullopt;
  if (experts % outerCount != 0) {
    site.error(arguments.at("outer"), fmt::format("\"outer\" must divide the experts, and {} is no divisor of {}", outerCount, experts));
    return std::nullopt;
  }
  int64_t innerCount = experts / outerCount;
  mlir::Type element = site.routerElement();
  Size groups = site.groups(), count = Size::floorDiv(ir::sizesOf(tokens)[0], groups);

  Site outerSite = site.part("outer");
  const Json* init = initsOf(arguments).weight;
  Value outerWeight = outerSite.parameter("weight", {outerCount, *width}, initOf(init, *width, outerCount, normalInit()), element);
  Value routed = outerSite.ops().cast(tokens, element);
  Value outerLogits = outerSite.ops().matmul(routed, outerWeight);
  Top2Choices outer = chooseTop2(outerSite, arguments, outerLogits, {count, {}});
  outerSite.record(outer.indices);
  Value outerRouting = outerSite.ops().assign(
      outer.indices, {.experts = outerCount, .priority = ir::Priority::ChoiceMajor, .capacity = outer.capacity, .groups = groups, .keep = outer.keep});
  Value rows = outerSite.ops().dispatch(tokens, outerRouting); // (R, D)
  // In the router's dtype too: a cast of the rows would read those behind the count, which nobody wrote.
  Value routedRows = routed == tokens ? rows : outerSite.ops().dispatch(routed, outerRouting);
  if (!rows)
    return std::nullopt;

  Site innerSite = site.part("inner");
  Value innerWeight = innerSite.parameter("weight", {outerCount, innerCount, *width}, initOf(init, *width, innerCount, normalInit()), element);
  Ops& ops = innerSite.ops();
  Value innerLogits = ops.groupedMatmul(routedRows, innerWeight, outerRouting);
  Value importance = importanceOf(ops, outer.weights, outerRouting, element);
  Top2Choices inner = chooseTop2(innerSite, arguments, innerLogits, {outer.capacity, importance});
  innerSite.record(inner.indices, outerRouting);
  Value routing = ops.assign(
      inner.indices,
      {.experts = experts, .priority = ir::Priority::ChoiceMajor, .capacity = inner.capacity, .groups = groups, .keep = inner.keep, .within = outerRouting});
  if (site.isTraining()) {
    double coefficient = arguments.number("balance_loss");
    outerSite.addLoss("balance_loss", balanceLoss(outerSite, outer.firsts, outer.scores, groups), coefficient);
    innerSite.addLoss("balance_loss", innerLoss(innerSite, outer, inner, outerRouting, outerCount), coefficient);
    addZLoss(outerSite, arguments, outerLogits);
    if (arguments.has("z_loss"))
      innerSite.addLoss("z_loss", innerZ(innerSite, innerLogits, outer, outerRouting), arguments.number("z_loss"));
  }
  return GateResult{.routing = routing, .weights = inner.weights, .outer = OuterLevel{outerRouting, outer.weights, rows, outerLogits}, .logits = innerLogits};
}

std::vector<Parameter> parameters() {
  std::vector<Parameter> all = top2Parameters();
  all.push_back(zLossParameter());
  all.insert(all.begin(),
             {.name = "outer", .required = true, .most = 65536, .doc = "Into how many equal groups of neighbours the experts fall; a divisor of their count."});
  return all;
}

} // namespace

const Kind& hierarchicalGate() {
  static const Kind kind{
      .name = "hierarchical",
      .family = Family::Gate,
      .doc = "Two gates like top_2, one behind the other: the outer one chooses among groups of experts, in each of them "
             "an inner one of its own among the group's experts. Of the tokens that came to a group, those with more "
             "than half of their outer weight there get two experts, the others their best one only, behind all first "
             "choices. What a group takes is the n of the inner capacity, be all places taken or not. A token's result "
             "is the sum over its groups, by the outer weights, of sums by the inner ones. In training the outer and the "
             "inner gates have a balance loss each, the inner ones over all places of a group, taken or not, and where "
             "it is given a z_loss each, the inner one the mean over the rows that came to a group.",
      .source = "mixture-of-experts 0.2.3 (HeirarchicalMoE)",
      .parameters = parameters(),
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
