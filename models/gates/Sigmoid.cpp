#include "models/gates/Gates.h"

#include <fmt/format.h>

#include <limits>

namespace moec::models {

namespace {

/// The scores (T, E) with those of all groups but the best as minus infinity.
mlir::Value ofBestGroups(Site& site, const Arguments& arguments, mlir::Value scores, int64_t experts) {
  int64_t groups = arguments.integer("groups"), best = arguments.integer("best_groups"), size = experts / groups;
  if (best == groups)
    return scores;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  bool isMax = arguments.word("group_score") == "max";
  std::vector<mlir::Value> ofGroups;
  for (int64_t group = 0; group < groups; ++group)
    ofGroups.push_back(sumOfColumns(ops, ops.select(ops.slice(scores, 1, group * size, size), isMax ? 1 : 2).values));
  mlir::Value chosen = ops.select(ops.concat(ofGroups, 1), best).indices; // (T, best)
  std::vector<double> numbers;
  for (int64_t expert = 0; expert < experts; ++expert)
    numbers.push_back(static_cast<double>(expert / size));
  mlir::Value groupOf = ops.constant({1, experts}, numbers, ops.element(DType::I32)), isIn;
  for (int64_t i = 0; i < best; ++i) {
    mlir::Value is = ops.compare(ir::Predicate::EQ, ops.slice(chosen, 1, i, 1), groupOf); // (T, E)
    isIn = isIn ? ops.binary<ir::MaxOp>(isIn, is) : is;
  }
  return ops.where(isIn, scores, ops.constant({1}, {-std::numeric_limits<double>::infinity()}, element));
}

bool check(Site& site, const Arguments& arguments, int64_t experts) {
  int64_t groups = arguments.integer("groups"), best = arguments.integer("best_groups"), choices = arguments.integer("top_k");
  auto fail = [&](const char* parameter, const std::string& message) {
    site.error(arguments.at(parameter), message);
    return false;
  };
  if (!checkChoices(site, arguments, experts))
    return false;
  if (experts % groups != 0)
    return fail("groups", fmt::format("{} experts are no {} equal groups", experts, groups));
  if (best > groups)
    return fail("best_groups", fmt::format("\"best_groups\" is {} of {} groups", best, groups));
  if (best < groups && arguments.word("group_score") == "top_2" && experts / groups < 2)
    return fail("group_score", "groups of one expert have no two best: \"group_score\" is max");
  if (choices > best * (experts / groups))
    return fail("top_k", fmt::format("\"top_k\" is {} of the {} experts of {} groups", choices, best * (experts / groups), best));
  return true;
}

/// The loss gets (rows of e - mean rows) as the gradient of e's bias.
void learnFromLoad(Site& site, mlir::Value routing, mlir::Value bias, int64_t experts) {
  if (!routing || !bias)
    return;
  Ops& ops = site.ops();
  mlir::Value load = ops.cast(ops.expertCounts(routing), site.routerElement()); // (E)
  mlir::Value mean = ops.reduce(ir::ReduceKind::Mean, load, 0);
  mlir::Value excess = ops.sub(load, ops.reshape(mean, {1}));
  site.addGradient(ops.reduce(ir::ReduceKind::Sum, ops.mul(excess, bias), 0));
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  if (!check(site, arguments, experts))
    return std::nullopt;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  mlir::Value logits = routerLogits(site, tokens, experts, arguments.flag("bias"), initsOf(arguments));
  if (!logits)
    return std::nullopt;
  mlir::Value scores = arguments.word("scores") == "softmax" ? ops.softmax(logits) : ops.unary<ir::SigmoidOp>(logits);
  mlir::Value choosing = scores, bias;
  if (arguments.flag("choice_bias")) {
    double rate = arguments.number("bias_rate");
    bias = site.parameter("choice_bias", {experts}, {}, element, rate > 0 ? std::optional(rate) : std::nullopt);
    choosing = ops.add(scores, bias);
  }
  mlir::Value indices = site.chosen(ops.select(ofBestGroups(site, arguments, choosing, experts), arguments.integer("top_k")).indices, experts);
  mlir::Value weights = ops.take(scores, indices);
  if (!weights)
    return std::nullopt;
  if (arguments.flag("normalize")) {
    mlir::Value sum = sumOfColumns(ops, weights);
    if (double eps = arguments.number("eps"); eps > 0)
      sum = ops.add(sum, ops.constant({1}, {eps}, element));
    if (double least = arguments.number("least_sum"); least > 0)
      sum = ops.binary<ir::MaxOp>(sum, ops.constant({1}, {least}, element));
    weights = ops.div(weights, sum);
  }
  if (double scale = arguments.number("scale"); scale != 1)
    weights = ops.mul(weights, ops.constant({1}, {scale}, element));
  mlir::Value routing = ops.assign(indices, experts, ir::Priority::TokenMajor, std::nullopt);
  if (site.isTraining() && bias && arguments.number("bias_rate") > 0)
    learnFromLoad(site, routing, bias, experts);
  return GateResult{.routing = routing, .weights = weights, .logits = logits};
}

} // namespace

const Kind& sigmoidGate() {
  static const Kind kind{
      .name = "sigmoid",
      .family = Family::Gate,
      .doc = "The k best experts of each token by the sigmoid of its logits, each for itself, plus a bias that only "
             "chooses: weights are "
             "the sigmoids without it, divided by their sum. Experts may stand in groups, of which a token sees the "
             "best alone. "
             "In training the bias learns from the load, without a loss: each step an expert that got more rows than "
             "the mean loses "
             "bias_rate, one that got fewer gains it, whatever optimizer, clipping and weight decay there are. Nobody "
             "is dropped. With "
             "scores: softmax, group_score: max, choice_bias: false and normalize: false it is DeepSeek-V2's router, "
             "with scores: softmax, "
             "eps: 0 and least_sum: 1e-12 Ernie 4.5's, with eps: 0 MiniMax-M2's. Experts outside of the best groups "
             "are out of the "
             "choice, as in transformers 5.24; older releases gave them the score 0, which is not the same where "
             "biases make others "
             "negative. The weight begins as PyTorch's Linear, the bias as zeros.",
      .source = "DeepSeek-AI 2024 (arXiv 2412.19437); Wang et al. 2024 (arXiv 2408.15664); transformers 5.24 "
                "(DeepseekV3TopkRouter)",
      .parameters =
          {
              choicesParameter("2"),
              {.name = "scores",
               .type = ParameterType::Word,
               .fallback = "\"sigmoid\"",
               .words = {"sigmoid", "softmax"},
               .doc = "What is made of the logits.",
               .source = "softmax: transformers 5.24 (DeepseekV2TopkRouter, Ernie4_5_MoeTopKRouter)"},
              {.name = "groups", .fallback = "1", .most = 65536, .doc = "Equal groups of experts, one behind the other (n_group)."},
              {.name = "best_groups", .fallback = "1", .most = 65536, .doc = "How many groups a token chooses from (topk_group)."},
              {.name = "group_score",
               .type = ParameterType::Word,
               .fallback = "\"top_2\"",
               .words = {"top_2", "max"},
               .doc = "What makes a group the best: the sum of its two best scores, or its best one.",
               .source = "max: transformers 5.24 (DeepseekV2TopkRouter, group_limited_greedy)"},
              {.name = "choice_bias", .type = ParameterType::Bool, .fallback = "true", .doc = "Is there a bias that only chooses (e_score_correction_bias)?"},
              {.name = "bias_rate",
               .type = ParameterType::Number,
               .fallback = "0.001",
               .least = 0,
               .most = 1e6,
               .doc = "What a step of training adds to the bias of an expert, or takes from it. 0: it stays as it is."},
              {.name = "normalize", .type = ParameterType::Bool, .fallback = "true", .doc = "Divide the k weights by their sum (norm_topk_prob)?"},
              {.name = "eps", .type = ParameterType::Number, .fallback = "1e-20", .least = 0, .most = 1, .doc = "Added to that sum."},
              {.name = "least_sum",
               .type = ParameterType::Number,
               .fallback = "0",
               .least = 0,
               .most = 1,
               .doc = "What that sum counts at least.",
               .source = "transformers 5.24 (Ernie4_5_MoeTopKRouter: moe_norm_min)"},
              {.name = "scale",
               .type = ParameterType::Number,
               .fallback = "1",
               .least = 0,
               .most = 1e6,
               .doc = "Weights are multiplied by this in the end (routed_scaling_factor)."},
              {.name = "bias", .type = ParameterType::Bool, .fallback = "false", .doc = "A bias on the logits?"},
              routerInitParameter(),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
