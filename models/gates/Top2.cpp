#include "models/Layers.h"
#include "models/gates/Top2Level.h"

namespace moec::models {

namespace {

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  std::optional<int64_t> width = site.width(tokens);
  if (!width)
    return std::nullopt;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  mlir::Value weight = site.parameter("weight", {experts, *width}, initOf(initsOf(arguments).weight, *width, experts, normalInit()), element);
  Size count = Size::floorDiv(ir::sizesOf(tokens)[0], site.groups());
  mlir::Value logits = ops.matmul(ops.cast(tokens, element), weight);
  Top2Choices chosen = chooseTop2(site, arguments, logits, {count, {}});
  site.record(chosen.indices);
  mlir::Value routing = ops.assign(
      chosen.indices, {.experts = experts, .priority = ir::Priority::ChoiceMajor, .capacity = chosen.capacity, .groups = site.groups(), .keep = chosen.keep});
  if (site.isTraining()) {
    site.addLoss("balance_loss", balanceLoss(site, chosen.firsts, chosen.scores, site.groups()), arguments.number("balance_loss"));
    addZLoss(site, arguments, logits);
  }
  return GateResult{.routing = routing, .weights = chosen.weights, .logits = logits};
}

std::vector<Parameter> parameters() {
  std::vector<Parameter> all = top2Parameters();
  all.push_back(zLossParameter());
  return all;
}

} // namespace

const Kind& top2Gate() {
  static const Kind kind{
      .name = "top_2",
      .family = Family::Gate,
      .doc = "The two best experts of each token, weighted by their shares of the sum of their two softmax scores, before "
             "anybody is dropped; a policy then drops second choices. Each row of the batch has a capacity of its own: "
             "all first choices enter before all second ones, in the order of tokens. Weights begin as standard "
             "normals, without a bias. The original's policy threshold masks experts where it means tokens, and stops "
             "with an error unless there are as many of both; here it is of tokens, as its text says. Of equal scores "
             "the lowest index is chosen.",
      .source = "mixture-of-experts 0.2.3 (Top2Gating)",
      .parameters = parameters(),
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
