#include "models/gates/Top2Level.h"

using mlir::Value;

namespace moec::models {

namespace {

/// 1 where the second choice of weight (T, 1) stays, else 0: (T, 1). Null: it always does.
Value secondStays(Site& site, const Arguments& arguments, Value weight) {
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  const std::string& policy = arguments.wordByMode("policy");
  double threshold = arguments.numberByMode("threshold");
  if (policy == "threshold")
    return ops.cast(ops.compare(ir::Predicate::GT, weight, ops.constant({1}, {threshold}, element)), element);
  if (policy != "random")
    return {};
  Value least = ops.constant({1}, {std::max(threshold, arguments.number("eps"))}, element);
  ir::Sizes column{ir::sizesOf(weight)[0], 1};
  Value draws = ops.random(ir::Distribution::Uniform, site.part("policy").path(), column, element);
  return ops.cast(ops.compare(ir::Predicate::LT, draws, ops.div(weight, least)), element);
}

} // namespace

Top2Choices chooseTop2(Site& site, const Arguments& arguments, Value logits, const Top2Tokens& tokens) {
  if (!logits)
    return {};
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  int64_t experts = *ir::sizesOf(logits).back().constant();
  std::optional<Size> capacity;
  if (!findCapacity(site, arguments, {CapacityForm::Bounded, tokens.count, 2, experts}, capacity))
    return {};
  auto compare = [&](ir::Predicate predicate, Value x, double with) {
    return ops.cast(ops.compare(predicate, x, ops.constant({1}, {with}, element)), element);
  };
  Value scores = ops.softmax(logits);
  bool hasSecond = arguments.wordByMode("policy") != "none";
  Value given = site.replayed(ir::sizesOf(logits)[0], hasSecond ? 2 : 1, experts);
  // The best of `of`, or the choice of this column that is given.
  auto best = [&](Value of, int64_t column) -> Ops::Selection {
    if (!given)
      return ops.select(of, 1);
    Value indices = ops.slice(given, 1, column, 1);
    return {ops.take(of, indices), indices};
  };
  auto [first, firstIndex] = best(scores, 0);
  // The second choice is the best of the scores without the first's, which counts as 0 and may be chosen again.
  Value taken = oneHot(ops, firstIndex, experts, element); // (T, E)
  Value whole, some;
  if (tokens.importance) {
    whole = compare(ir::Predicate::EQ, tokens.importance, 1);
    some = compare(ir::Predicate::GT, tokens.importance, 0);
    taken = ops.mul(taken, whole);
    first = ops.mul(first, whole);
  }
  Value rest = ops.mul(scores, ops.sub(ops.constant({1}, {1}, element), taken));
  // Without a place for it, the second choice is only for its score, by which the first one's weight is a share.
  auto [second, secondIndex] = hasSecond ? best(rest, 1) : ops.select(rest, 1);
  Value sum = ops.add(ops.add(first, second), ops.constant({1}, {arguments.number("eps")}, element));
  first = ops.div(first, sum);
  second = ops.div(second, sum);
  if (!second)
    return {};

  Top2Choices choices{firstIndex, first, {}, *capacity, taken, scores};
  if (whole && site.isTraining())
    choices.scores = ops.mul(scores, whole);
  auto isNotZero = [&](Value x) { return ops.compare(ir::Predicate::NE, x, ops.constant({1}, {0}, element)); };
  if (!hasSecond) {
    if (whole)
      choices.keep = isNotZero(whole);
    return choices;
  }
  choices.indices = ops.concat({firstIndex, secondIndex}, 1);
  choices.weights = ops.concat({first, second}, 1);
  Value stays = secondStays(site, arguments, second);
  if (whole)
    choices.keep = isNotZero(ops.concat({whole, stays ? ops.mul(some, stays) : some}, 1));
  else if (stays)
    choices.keep = isNotZero(ops.binary<ir::MaxOp>(stays, ops.constant({1, 2}, {1, 0}, element)));
  return choices;
}

std::vector<Parameter> top2Parameters() {
  return {
      {.name = "policy",
       .type = ParameterType::WordByMode,
       .fallback = "\"random\"",
       .words = {"all", "none", "threshold", "random"},
       .doc = "Which second choices stay: all, none, those whose weight is more than the threshold, or those where a "
              "uniform draw is less than weight / threshold. It draws in inference too."},
      {.name = "threshold", .type = ParameterType::Capacity, .fallback = "0.2", .least = 0, .most = 1, .doc = "Of the policies threshold and random."},
      capacityParameter("{\"train\": 1.25, \"eval\": 2.0}", "The rate: rows of an expert from a row of the batch of n tokens are min(n, trunc(n * rate / "
                                                            "E))."),
      leastCapacityParameter("4", 1, "What an expert takes at least, be there fewer tokens or not.", "mixture-of-experts 0.2.3 (MIN_EXPERT_CAPACITY)"),
      {.name = "eps",
       .type = ParameterType::Number,
       .fallback = "1e-9",
       .least = 0,
       .most = 1,
       .doc = "Added to the sum of the two scores, by which the weights are their shares."},
      balanceLossParameter("0.01",
                           "E^2 * the mean over rows of the batch and experts of (share of tokens whose first choice "
                           "is e) * (mean score of e).",
                           "mixture-of-experts 0.2.3 (loss_coef), which returns the product of both"),
      initParameter("How the weights of the router begin; it has no biases."),
  };
}

} // namespace moec::models
