#include "models/gates/Gates.h"

#include <numeric>

namespace moec::models {

namespace {

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  if (site.isGenerating()) {
    site.error("an expert that chooses among all tokens looks at later ones too: a model with the gate expert_choice "
               "cannot continue "
               "texts");
    return std::nullopt;
  }
  Size count = ir::sizesOf(tokens)[0], groups = capacityGroups(site, arguments), run = Size::floorDiv(count, groups);
  std::optional<Size> capacity;
  if (!findCapacity(site, arguments, {CapacityForm::Share, run, 1, experts}, capacity))
    return std::nullopt;
  capacity = Size::min(run, *capacity);
  Ops& ops = site.ops();
  mlir::Type integer = ops.element(DType::I32);
  mlir::Value logits = routerLogits(site, tokens, experts, arguments.flag("bias"), initsOf(arguments)); // (T, E)
  mlir::Value scores = ops.softmax(logits);
  if (!scores)
    return std::nullopt;
  if (mlir::Value given = site.replayed(count, experts, experts)) {
    site.record(given);
    mlir::Value routing = ops.assign(given, {.experts = experts, .capacity = capacity, .groups = groups, .bounded = true});
    return GateResult{.routing = routing, .weights = ops.take(scores, given), .logits = logits};
  }
  // Every token is a candidate of every expert.
  std::vector<double> numbers(static_cast<size_t>(experts));
  std::iota(numbers.begin(), numbers.end(), 0);
  mlir::Value candidates = ops.broadcast(ops.constant({1, experts}, numbers, integer), {count, experts});
  mlir::Value places = ops.places(candidates, scores, {.experts = experts, .groups = groups});
  mlir::Value isChosen = ops.compare(ir::Predicate::LT, places, ops.number(*capacity, integer));
  if (site.records())
    site.record(ops.where(isChosen, candidates, ops.constant({1}, {-1}, integer)));
  mlir::Value routing = ops.assign(candidates, {.experts = experts, .capacity = capacity, .groups = groups, .keep = isChosen, .bounded = true});
  return GateResult{.routing = routing, .weights = scores, .logits = logits};
}

} // namespace

const Kind& expertChoiceGate() {
  static const Kind kind{
      .name = "expert_choice",
      .family = Family::Gate,
      .doc = "Experts choose tokens: each takes the rate * n / E of n tokens, rounded down, whose softmax over all "
             "experts is highest "
             "for it, and weights them by that. A token may have several experts, or none. All experts get equally "
             "many: there is no "
             "loss. Of equal scores the first token is chosen. Later tokens decide about earlier ones: a language "
             "model that is to "
             "continue texts cannot have it. Weight and bias begin as PyTorch's Linear.",
      .source = "Zhou et al. 2022 (arXiv 2202.09368)",
      .parameters =
          {
              {.name = "capacity",
               .type = ParameterType::Capacity,
               .fallback = "2.0",
               .least = 0,
               .most = 1e6,
               .doc = "The rate: experts per token, on average."},
              {.name = "least_capacity",
               .fallback = "1",
               .least = 0,
               .doc = "What an expert takes at least, as far as there are tokens. 0: a capacity that rounds to 0 is an "
                      "error."},
              {.name = "per",
               .type = ParameterType::Word,
               .fallback = "\"call\"",
               .words = {"call", "row"},
               .doc = "What n counts, and what experts choose from: all tokens of the call, or those of each row of "
                      "the batch, x "
                      "being (.., tokens, D)."},
              {.name = "bias", .type = ParameterType::Bool, .fallback = "false", .doc = "A bias on the logits?"},
              routerInitParameter(),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
