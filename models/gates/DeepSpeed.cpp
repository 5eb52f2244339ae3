#include "models/gates/Gates.h"
#include "models/gates/Gumbel.h"
#include "models/gates/Jitter.h"

#include <limits>

using mlir::Value;

namespace moec::models {

namespace {

/// For each token the best of `choosers` (T, E) and its score among `scores`: indices and weights, each (T, 1).
Ops::Selection choose(Ops& ops, Value choosers, Value scores) {
  Ops::Selection best = ops.select(choosers, 1);
  if (choosers != scores)
    best.values = ops.take(scores, best.indices);
  return best;
}

/// The least sum that weights are divided by: the router's dtype's distance from 1 to the next number.
double leastSum(mlir::Type element) { return element.isF64() ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon(); }

/// Which experts, and their softmax scores: each (T, K). With two, the second is the best of what is not the first.
Ops::Selection chooseAll(Site& site, const Arguments& arguments, Value logits, Value scores, int64_t experts) {
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  int64_t choices = arguments.integer("top_k");
  if (choices > 2)
    return ops.select(scores, choices);
  bool isNoisy = choices == 1 && site.isTraining() && arguments.word("noise") == "gumbel";
  Ops::Selection first = choose(ops, isNoisy ? withGumbel(site, "noise", logits, 1) : scores, scores);
  if (choices == 1 || !first.values)
    return first;
  Value others = arguments.flag("sample_second") ? withGumbel(site, "second", logits, 1) : logits;
  Value isFirst = ops.compare(ir::Predicate::NE, oneHot(ops, first.indices, experts, element), ops.constant({1}, {0}, element));
  Value nothing = ops.constant({1}, {-std::numeric_limits<double>::infinity()}, element);
  Ops::Selection second = choose(ops, ops.where(isFirst, nothing, others), scores);
  return {ops.concat({first.values, second.values}, 1), ops.concat({first.indices, second.indices}, 1)};
}

/// Who enters an expert first: by draws where tokens are taken at random, by score with three choices and more, else
/// all first choices before all second ones.
Value assignTo(Site& site, const Arguments& arguments, const Ops::Selection& chosen, int64_t experts, const std::optional<Size>& capacity) {
  Ops& ops = site.ops();
  int64_t choices = arguments.integer("top_k");
  Ops::Assignment rule{.experts = experts, .priority = ir::Priority::ChoiceMajor, .capacity = capacity};
  Value scores;
  if (choices == 1 && arguments.flag("random_tokens")) {
    ir::Sizes shape{ir::sizesOf(chosen.values)[0], experts};
    Value draws = ops.random(ir::Distribution::Uniform, site.part("tokens").path(), shape, site.routerElement());
    scores = ops.take(draws, chosen.indices);
  } else if (choices > 2) {
    scores = chosen.values;
  }
  if (capacity && scores && !site.isGenerating()) {
    Value places = ops.places(chosen.indices, scores, {.experts = experts});
    rule.keep = ops.compare(ir::Predicate::LT, places, ops.number(*capacity, ops.element(DType::I32)));
  }
  return ops.assign(chosen.indices, rule);
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
  Value x = ops.cast(tokens, element);
  if (site.isTraining() && arguments.word("noise") == "jitter")
    x = timesJitter(site, x, 0.01);
  Value logits = routerLayer(site, x, experts, false, initsOf(arguments));
  Value scores = ops.softmax(logits);
  Ops::Selection chosen = chooseAll(site, arguments, logits, scores, experts);
  if (!chosen.values)
    return std::nullopt;
  chosen.indices = site.chosen(chosen.indices, experts);
  if (site.replays())
    chosen.values = ops.take(scores, chosen.indices);
  Value routing = assignTo(site, arguments, chosen, experts, capacity), weights = chosen.values;
  if (choices > 1) { // shares of what was kept
    Value kept = ops.mul(weights, keptChoices(ops, routing, count, choices, element));
    Value sum = sumOfColumns(ops, kept);
    weights = ops.div(kept, ops.binary<ir::MaxOp>(sum, ops.constant({1}, {leastSum(element)}, element)));
  }
  if (site.isTraining()) {
    Value counted = choices > 2 ? ops.div(choiceCounts(ops, chosen.indices, experts, element), ops.constant({1}, {static_cast<double>(choices)}, element))
                                : firstChoices(ops, chosen.indices, experts, element);
    addLosses(site, arguments, counted, scores, logits, 1);
  }
  return GateResult{.routing = routing, .weights = weights, .logits = logits};
}

} // namespace

const Kind& deepspeedGate() {
  static const Kind kind{
      .name = "deepspeed",
      .family = Family::Gate,
      .doc = "DeepSpeed's gate. One choice is weighted by its softmax over all experts, several by their shares of the "
             "sum "
             "of theirs, as far as they found a place: where one is dropped, the others count for more. An expert takes "
             "ceil(T / E * rate * K) rows: of one choice those that draws say, of two all first ones before all second "
             "ones, "
             "in the order of tokens, of more those of the highest scores. T is all tokens of the call. The weight begins "
             "as PyTorch's Linear, without a bias. DeepSpeed computes in f32 "
             "whatever the model's dtype, here in the router's.",
      .source = "deepspeed 0.19.6 (TopKGate: top1gating, top2gating, topkgating)",
      .parameters =
          {
              choicesParameter("1"),
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
              {.name = "random_tokens",
               .type = ParameterType::Bool,
               .fallback = "true",
               .doc = "Of one choice: do uniform draws say which tokens an expert takes, where not all have a place? They "
                      "are drawn in inference too. false: the first ones.",
               .source = "deepspeed 0.19.6 (use_rts)"},
              {.name = "sample_second",
               .type = ParameterType::Bool,
               .fallback = "true",
               .doc = "Of two choices: is the second the best of logits with Gumbel noise? It draws in inference too.",
               .source = "deepspeed 0.19.6 (top2_2nd_expert_sampling)"},
              balanceLossParameter("0.01",
                                   "E * the sum over e of (share of tokens whose first choice is e; of more than two "
                                   "choices, share of choices that are e) * (mean score of e).",
                                   "deepspeed 0.19.6 (l_aux), whose coefficient the trainer gives"),
              zLossParameter(),
              routerInitParameter(),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
