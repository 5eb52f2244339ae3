#include "models/gates/Gates.h"
#include "models/gates/Gumbel.h"

#include <fmt/format.h>

using mlir::Value;

namespace moec::models {

namespace {

/// Has every list of "threshold", of both modes, a number for each choice behind the first? Reports when not.
bool checkThresholds(Site& site, const Arguments& arguments) {
  int64_t others = arguments.integer("top_k") - 1;
  auto check = [&](const Json& value) {
    if (!value.isList() || std::ssize(value.list()) == others)
      return true;
    site.error(value.position(), fmt::format("a list of \"threshold\" has a number for each choice behind the first: {} with \"top_k\" {}, and this one has {}",
                                             others, others + 1, value.list().size()));
    return false;
  };
  const Json& written = arguments.get("threshold");
  return written.isObject() ? llvm::all_of(written.object(), [&](const Json::Member& mode) { return check(mode.value); }) : check(written);
}

/// Which choices of weights (T, K) stay, bool: all first ones, and others where a uniform draw is less than weight /
/// threshold.
Value staying(Site& site, const Arguments& arguments, Value weights) {
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  ir::Sizes shape = ir::sizesOf(weights);
  std::vector<double> thresholds = arguments.numbersByMode("threshold", *shape[1].constant() - 1);
  thresholds.insert(thresholds.begin(), 0); // of the first choice, which needs none
  for (double& threshold : thresholds)
    threshold = std::max(threshold, arguments.number("eps"));
  Value threshold = ops.constant({1, std::ssize(thresholds)}, thresholds, element);
  Value draws = ops.random(ir::Distribution::Uniform, site.part("policy").path(), shape, element);
  Value stays = ops.cast(ops.compare(ir::Predicate::LT, draws, ops.div(weights, threshold)), element);
  std::vector<double> first(static_cast<size_t>(*shape[1].constant()));
  first[0] = 1;
  Value isFirst = ops.constant({1, *shape[1].constant()}, first, element);
  return ops.compare(ir::Predicate::NE, ops.binary<ir::MaxOp>(stays, isFirst), ops.constant({1}, {0}, element));
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, Value tokens, int64_t experts) {
  if (!checkChoices(site, arguments, experts) || !checkThresholds(site, arguments))
    return std::nullopt;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  int64_t choices = arguments.integer("top_k");
  Size groups = site.groups(), count = ir::sizesOf(tokens)[0];
  std::optional<Size> capacity;
  if (!findCapacity(site, arguments, {CapacityForm::Bounded, Size::floorDiv(count, groups), choices, experts}, capacity))
    return std::nullopt;
  Value logits = routerLogits(site, tokens, experts, false, initsOf(arguments));
  Value noisy = withGumbel(site, "noise", logits, arguments.number("noise")), scores = ops.softmax(noisy);
  auto [values, indices] = site.choose(scores, choices);
  if (!values)
    return std::nullopt;
  Value weights = ops.div(values, ops.binary<ir::MaxOp>(sumOfColumns(ops, values), ops.constant({1}, {arguments.number("eps")}, element)));
  Value routing = ops.assign(
      indices, {.experts = experts, .priority = ir::Priority::ChoiceMajor, .capacity = capacity, .groups = groups, .keep = staying(site, arguments, weights)});
  if (site.isTraining()) {
    Value kept = ops.slice(keptChoices(ops, routing, count, choices, element), 1, 0, 1);
    addLosses(site, arguments, ops.mul(firstChoices(ops, indices, experts, element), kept), scores, logits, groups);
  }
  GateResult result{.routing = routing, .weights = weights, .logits = noisy};
  if (site.isTraining() && arguments.flag("straight_through")) // 1, with the weights' gradient
    result.scales = ops.add(ops.sub(weights, ops.unary<ir::DetachOp>(weights)), ops.constant({1}, {1}, element));
  return result;
}

} // namespace

const Kind& topNGate() {
  static const Kind kind{
      .name = "top_n",
      .family = Family::Gate,
      .doc = "The n best experts of each token, weighted by their shares of the sum of their softmax scores, before "
             "anybody is dropped. Choices behind the first stay where a uniform draw is less than weight / threshold; "
             "it draws in inference too. Each row of the batch has a capacity of its own: all first choices enter "
             "before all second ones, and so on, in the order of tokens. The weight begins as PyTorch's Linear, without "
             "a bias.",
      .source = "st-moe-pytorch 0.1.8 (TopNGating)",
      .parameters =
          {
              {.name = "top_k", .fallback = "2", .least = 2, .most = 65536, .doc = "Choices per token (n)."},
              {.name = "threshold",
               .type = ParameterType::NumbersByMode,
               .fallback = "0.2",
               .least = 0,
               .most = 1,
               .doc = "At this weight and above a choice always stays. 0: all do. A list has one number for each "
                      "choice behind the first, of which there are top_k - 1; one number is for all of them."},
              capacityParameter("{\"train\": 1.25, \"eval\": 2.0}", "The rate: rows of an expert from a row of the batch of T tokens are min(T, trunc(T * "
                                                                    "rate / E))."),
              leastCapacityParameter("4", 1, "What an expert takes at least, be there fewer tokens or not.", "st-moe-pytorch 0.1.8 (MIN_EXPERT_CAPACITY)"),
              {.name = "noise",
               .type = ParameterType::Number,
               .fallback = "0",
               .least = 0,
               .most = 1e6,
               .doc = "What Gumbel noise on the logits is multiplied by; 0: there is none. It draws in inference too.",
               .source = "st-moe-pytorch 0.1.8 (noise_gates, noise_mult)"},
              {.name = "eps",
               .type = ParameterType::Number,
               .fallback = "1e-9",
               .least = 0,
               .most = 1,
               .doc = "The least sum of scores, and the least threshold, that something is divided by."},
              {.name = "straight_through",
               .type = ParameterType::Bool,
               .fallback = "true",
               .doc = "In training: do weights get a gradient through what experts take too, as if that were "
                      "multiplied by "
                      "weight + 1 - weight?",
               .source = "st-moe-pytorch 0.1.8 (straight_through_dispatch_tensor)"},
              balanceLossParameter("0.01",
                                   "E * the sum over e of (share of tokens whose first choice is e and has a place "
                                   "there) * (mean score of e), its mean over the rows of the batch.",
                                   "st-moe-pytorch 0.1.8, which counts behind the capacity, where mixture-of-experts "
                                   "counts before it"),
              zLossParameter("0.001", "st-moe-pytorch 0.1.8, of the logits without noise"),
              routerInitParameter(),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
