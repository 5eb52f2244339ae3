#include "models/Layers.h"
#include "models/gates/Top2Level.h"

#include <fmt/format.h>

using mlir::Value;

namespace moec::models {

namespace {

/// 1 where a row has more than half of its token's weight, 0.5 where it has some, else 0: (R, 1).
Value importanceOf(Ops& ops, Value weights, Value routing, mlir::Type element) {
  Value weight = ops.rowWeights(weights, routing);
  auto isMore = [&](double than) {
    return ops.cast(ops.compare(ir::Predicate::GT, weight, ops.constant({1}, {than}, element)), element);
  };
  return ops.mul(ops.add(isMore(0.5), isMore(0)), ops.constant({1}, {0.5}, element));
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, Value tokens, int64_t experts) {
  std::optional<int64_t> width = site.width(tokens);
  int64_t outerCount = arguments.integer("outer");
  if (!width)
    return std::nullopt;
  if (experts % outerCount != 0) {
    site.error(arguments.at("outer"),
               fmt::format("\"outer\" must divide the experts, and {} is no divisor of {}", outerCount, experts));
    return std::nullopt;
  }
  int64_t innerCount = experts / outerCount;
  mlir::Type element = site.routerElement();
  Size groups = site.groups(), count = Size::floorDiv(ir::sizesOf(tokens)[0], groups);

  Site outerSite = site.part("outer");
  Value outerWeight = outerSite.parameter("weight", {outerCount, *width}, normalInit(), element);
  Value routed = outerSite.ops().cast(tokens, element);
  Value outerLogits = outerSite.ops().matmul(routed, outerWeight);
  Top2Choices outer = chooseTop2(outerSite, arguments, outerLogits, {count, {}});
  Value outerRouting = outerSite.ops().assign(outer.indices, {.experts = outerCount,
                                                              .priority = ir::Priority::ChoiceMajor,
                                                              .capacity = outer.capacity,
                                                              .groups = groups,
                                                              .keep = outer.keep});
  Value rows = outerSite.ops().dispatch(tokens, outerRouting); // (R, D)
  // In the router's dtype too: a cast of the rows would read those behind the count, which nobody wrote.
  Value routedRows = routed == tokens ? rows : outerSite.ops().dispatch(routed, outerRouting);
  if (!rows)
    return std::nullopt;

  Site innerSite = site.part("inner");
  Value innerWeight = innerSite.parameter("weight", {outerCount, innerCount, *width}, normalInit(), element);
  Ops& ops = innerSite.ops();
  Value innerLogits = ops.groupedMatmul(routedRows, innerWeight, outerRouting);
  Value importance = importanceOf(ops, outer.weights, outerRouting, element);
  Top2Choices inner = chooseTop2(innerSite, arguments, innerLogits, {outer.capacity, importance});
  Value routing = ops.assign(inner.indices, {.experts = experts,
                                             .priority = ir::Priority::ChoiceMajor,
                                             .capacity = inner.capacity,
                                             .groups = groups,
                                             .keep = inner.keep,
                                             .within = outerRouting});
  return GateResult{routing, inner.weights, OuterLevel{outerRouting, outer.weights, rows}};
}

std::vector<Parameter> parameters() {
  std::vector<Parameter> all = top2Parameters();
  all.insert(all.begin(),
             {.name = "outer",
              .required = true,
              .most = 65536,
              .doc = "Into how many equal groups of neighbours the experts fall; a divisor of their count."});
  return all;
}

} // namespace

const Kind& hierarchicalGate() {
  static const Kind kind{
      .name = "hierarchical",
      .family = Family::Gate,
      .doc =
          "Two gates like top_2, one behind the other: the outer one chooses among groups of experts, in each of them "
          "an inner one of its own among the group's experts. Of the tokens that came to a group, those with more "
          "than half of their outer weight there get two experts, the others their best one only, behind all first "
          "choices. What a group takes is the n of the inner capacity, be all places taken or not. A token's result "
          "is the sum over its groups, by the outer weights, of sums by the inner ones.",
      .source = "mixture-of-experts 0.2.3 (HeirarchicalMoE)",
      .parameters = parameters(),
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
