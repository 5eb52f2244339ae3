#include "models/gates/Gates.h"
#include "models/gates/Gumbel.h"
#include "models/gates/Jitter.h"

#include <limits>

using mlir::Value;

namespace moec::models {

namespace {

/// For each token the best of `choosers` (T, E) and its score among `scores`: indices and weights, each (T, 1).
Ops::Selection choose(Ops& ops, Value choosers, Value scores, int64_t experts, mlir::Type element) {
  Ops::Selection best = ops.select(choosers, 1);
  if (choosers != scores && best.indices && scores) {
    Value taken = ops.mul(scores, oneHot(ops, best.indices, experts, element));
    best.values = ops.reshape(ops.reduce(ir::ReduceKind::Sum, taken, 1), {ir::sizesOf(scores)[0], 1});
  }
  return best;
}

/// The least sum that weights are divided by: the router's dtype's distance from 1 to the next number.
double leastSum(mlir::Type element) {
  return element.isF64() ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, Value tokens, int64_t experts) {
  if (!checkChoices(site, arguments, experts) || !site.width(tokens))
    return std::nullopt;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  int64_t choices = arguments.integer("top_k");
  Size count = ir::sizesOf(tokens)[0];
  std::optional<Size> capacity;
  if (!findCapacity(site, arguments, {CapacityForm::Even, count, choices, experts}, capacity))
    return std::nullopt;
  const std::string& noise = arguments.word("noise");
  Value x = ops.cast(tokens, element);
  if (site.isTraining() && noise == "jitter")
    x = timesJitter(site, x, 0.01);
  Value logits = routerLayer(site, x, experts, false);
  Value scores = ops.softmax(logits);
  bool isNoisy = choices == 1 && site.isTraining() && noise == "gumbel";
  Ops::Selection first =
      choose(ops, isNoisy ? withGumbel(site.part("noise"), logits, 1) : scores, scores, experts, element);
  if (!first.values)
    return std::nullopt;
  Value indices = first.indices, weights = first.values, isFirst = oneHot(ops, first.indices, experts, element);
  if (choices == 2) {
    Value others = arguments.flag("sample_second") ? withGumbel(site.part("second"), logits, 1) : logits;
    Value without = ops.where(ops.compare(ir::Predicate::NE, isFirst, ops.constant({1}, {0}, element)),
                              ops.constant({1}, {-std::numeric_limits<double>::infinity()}, element), others);
    Ops::Selection second = choose(ops, without, scores, experts, element);
    indices = ops.concat({indices, second.indices}, 1);
    weights = ops.concat({weights, second.values}, 1);
  }
  Value routing = ops.assign(indices, experts, ir::Priority::ChoiceMajor, capacity);
  if (choices == 2) { // shares of what was kept
    Value kept = ops.mul(weights, keptChoices(ops, routing, count, choices, element));
    Value sum = ops.reshape(ops.reduce(ir::ReduceKind::Sum, kept, 1), {count, 1});
    weights = ops.div(kept, ops.binary<ir::MaxOp>(sum, ops.constant({1}, {leastSum(element)}, element)));
  }
  if (site.isTraining()) {
    site.addLoss("balance_loss", balanceLoss(site, isFirst, scores, 1), arguments.number("balance_loss"));
    addZLoss(site, arguments, logits);
  }
  return GateResult{routing, weights};
}

} // namespace

const Kind& deepspeedGate() {
  static const Kind kind{
      .name = "deepspeed",
      .family = Family::Gate,
      .doc =
          "DeepSpeed's gate of one or two choices. One is weighted by its softmax over all experts. Two by their shares "
          "of the sum of both, as far as they found a place: where one is dropped, the other counts whole. An expert "
          "takes ceil(T / E * rate * K) rows, all first choices before all second ones, in the order of tokens; T is "
          "all tokens of the call. The weight begins as PyTorch's Linear, without a bias. DeepSpeed computes in f32 "
          "whatever the model's dtype, here in the router's.",
      .source = "deepspeed 0.19.6 (TopKGate: top1gating, top2gating)",
      .parameters =
          {
              {.name = "top_k", .fallback = "1", .least = 1, .most = 2, .doc = "Choices per token (K)."},
              capacityParameter("1.0", "The rate."),
              leastCapacityParameter("8", 0, "What an expert takes at least.", "deepspeed 0.19.6 (min_capacity)"),
              {.name = "dropless",
               .type = ParameterType::Bool,
               .fallback = "false",
               .doc = "Is nobody dropped, whatever the rate?",
               .source = "deepspeed 0.19.6 (drop_tokens=False)"},
              {.name = "noise",
               .type = ParameterType::Word,
               .fallback = "\"none\"",
               .words = {"none", "jitter", "gumbel"},
               .doc = "In training. jitter: the router's input is multiplied by draws from [0.99, 1.01). gumbel: of one "
                      "choice, it is the best of logits with Gumbel noise.",
               .source = "deepspeed 0.19.6 (noisy_gate_policy: Jitter, RSample)"},
              {.name = "sample_second",
               .type = ParameterType::Bool,
               .fallback = "true",
               .doc = "Is the second choice the best of logits with Gumbel noise? It draws in inference too.",
               .source = "deepspeed 0.19.6 (top2_2nd_expert_sampling)"},
              balanceLossParameter("0.01",
                                   "E * the sum over e of (share of tokens whose first choice is e) * (mean score of e).",
                                   "deepspeed 0.19.6 (l_aux), whose coefficient the trainer gives"),
              zLossParameter(),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
