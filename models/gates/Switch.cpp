#include "models/gates/Gates.h"
#include "models/gates/Priority.h"
#include "models/gates/Workers.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

/// rate * T / E, rounded, but at least `least_capacity`. Nothing after a report that it is 0, where T is a number.
std::optional<Size> capacityOf(Site& site, const Arguments& arguments, const Size& tokens, int64_t experts) {
  if (arguments.has("expert_capacity")) {
    if (arguments.at("capacity") == arguments.position()) // not written
      return Size(arguments.integer("expert_capacity"));
    site.error(arguments.at("expert_capacity"), "\"expert_capacity\" says how many tokens an expert takes, and so does "
                                                "\"capacity\", as a rate; give one of them");
    return std::nullopt;
  }
  double rate = arguments.numberByMode("capacity");
  Size::Real share;
  share.factors.push_back({.number = rate, .size = {}, .op = '*'});
  share.factors.push_back({.number = {}, .size = tokens, .op = '*'});
  share.factors.push_back({.number = {}, .size = Size(experts), .op = '/'});
  Size rounded = arguments.word("rounding") == "up" ? Size::ceil(share) : Size::trunc(share);
  Size capacity = Size::max(rounded, Size(arguments.integer("least_capacity")));
  if (capacity == Size(0)) {
    site.error(arguments.at("capacity"),
               fmt::format("a capacity rate of {} leaves no place in {} experts for {} tokens: all would be dropped; "
                           "raise it, or \"least_capacity\"",
                           rate, experts, tokens.str()));
    return std::nullopt;
  }
  return capacity;
}

/// x, multiplied by draws from [1 - jitter, 1 + jitter), or with them added.
mlir::Value withJitter(Site& site, mlir::Value x, double jitter, bool adds) {
  if (!x)
    return {};
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  mlir::Value draws = ops.random(ir::Distribution::Uniform, site.part("jitter").path(), ir::sizesOf(x), element);
  mlir::Value factors = ops.add(ops.mul(draws, ops.constant({1}, {2 * jitter}, element)),
                                ops.constant({1}, {1 - jitter}, element));
  return adds ? ops.add(x, factors) : ops.mul(x, factors);
}

void addLosses(Site& site, const Arguments& arguments, mlir::Value logits, mlir::Value probabilities,
               const GateResult& result, mlir::Value indices, const Size& groups) {
  if (!probabilities || !indices || !result.routing)
    return;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  ir::Sizes shape = ir::sizesOf(probabilities);
  mlir::Value kept;
  if (arguments.word("balance_of") == "kept") {
    mlir::Value ones = ops.broadcast(ops.constant({1, 1}, {1}, element), {shape[0], 1});
    kept = ops.choiceValues(ops.rowWeights(ones, result.routing), result.routing); // (T, 1)
  }
  mlir::Value chosen = oneHot(ops, indices, *shape[1].constant(), element);
  addBalanceLoss(site, arguments, chosen, probabilities, groups, kept);
  addZLoss(site, arguments, logits);
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  bool perRow = arguments.word("per") == "row";
  Size groups = perRow ? site.groups() : Size(1), count = ir::sizesOf(tokens)[0];
  std::optional<int64_t> workers = workersOf(site, arguments, count, experts);
  if (!workers)
    return std::nullopt;
  if (perRow && *workers > 1) {
    site.error(arguments.at("workers"), "with per: row each row of the batch has a capacity of its own, and workers have none");
    return std::nullopt;
  }
  std::optional<Size> capacity = capacityOf(site, arguments, Size::floorDiv(count, groups), experts);
  if (!capacity)
    return std::nullopt;
  if (!site.width(tokens))
    return std::nullopt;
  const std::string& place = arguments.word("jitter_on");
  double jitter = site.isTraining() ? arguments.number("jitter") : 0;
  bool jittersInput = jitter > 0 && place != "logits";
  mlir::Value x = site.ops().cast(tokens, site.routerElement());
  if (jittersInput)
    x = withJitter(site, x, jitter, false);
  mlir::Value logits = routerLayer(site, x, experts, arguments.flag("bias"), initsOf(arguments));
  if (jitter > 0 && !jittersInput)
    logits = withJitter(site, logits, jitter, true);
  Ops& ops = site.ops();
  mlir::Value probabilities = ops.softmax(logits);
  auto [weights, indices] = site.choose(probabilities, 1);
  GateResult result{assignByPriority(site, arguments, indices, weights, {.experts = experts, .capacity = capacity, .groups = groups}),
                    weights};
  if (jittersInput && place == "tokens")
    result.tokens = ops.cast(x, site.element());
  if (site.isTraining())
    addLosses(site, arguments, logits, probabilities, result, indices, *workers > 1 ? Size(*workers) : groups);
  return result;
}

} // namespace

const Kind& switchGate() {
  static const Kind kind{
      .name = "switch",
      .family = Family::Gate,
      .doc = "The best expert of each token, weighted by its softmax over all experts. An expert takes rate * T / E "
             "rows, in the order of tokens, and drops the rest; T is all tokens of the call, or "
             "those of a row of the batch. The paper leaves open how that is rounded. FastMoE's SwitchGate rounds up, "
             "has a bias and a jitter of 0.1 on the logits, and balances what was kept. Hugging Face's takes per: row, "
             "expert_capacity, jitter_on: tokens and z_loss; it joins all layers of the encoder, and all of the "
             "decoder, into one before it takes the shares and means of its losses: loss_pool. Weight and bias begin as "
             "PyTorch's Linear.",
      .source = "Fedus et al. 2021 (arXiv 2101.03961); fastmoe ee3c561 (SwitchGate)",
      .parameters =
          {
              {.name = "top_k", .fallback = "1", .least = 1, .most = 1, .doc = "Choices per token (K): always 1."},
              {.name = "capacity",
               .type = ParameterType::Capacity,
               .fallback = "{\"train\": 1.25, \"eval\": 2.0}",
               .least = 0,
               .most = 1e6,
               .doc = "The rate: places of all experts together, over T."},
              {.name = "rounding",
               .type = ParameterType::Word,
               .fallback = "\"down\"",
               .words = {"down", "up"},
               .doc = "Of rate * T / E.",
               .source = "up: fastmoe ee3c561 (SwitchGate)"},
              {.name = "expert_capacity",
               .doc = "How many tokens an expert takes, as a number in place of the rate.",
               .source = "transformers 5.24 (SwitchTransformersTop1Router), with per: row"},
              {.name = "least_capacity",
               .fallback = "1",
               .least = 0,
               .doc = "What an expert takes at least. 0: a capacity that rounds to 0 is an error."},
              {.name = "per",
               .type = ParameterType::Word,
               .fallback = "\"call\"",
               .words = {"call", "row"},
               .doc = "What T counts, and what has a capacity of its own: the call, or each row of the batch, x being "
                      "(.., tokens, D).",
               .source = "row: Hugging Face SwitchTransformers"},
              workersParameter("Each has a balance loss of its own, of which the mean is taken; an expert's capacity is for the tokens of "
                               "all, of the first worker's before the second's.",
                               "fastmoe ee3c561 (world_size)"),
              priorityParameter({"token_major", "score"}),
              {.name = "jitter",
               .type = ParameterType::Number,
               .fallback = "0.01",
               .least = 0,
               .most = 1,
               .doc = "In training the router's input is multiplied by draws from [1 - jitter, 1 + jitter). In "
                      "inference nothing happens."},
              {.name = "jitter_on",
               .type = ParameterType::Word,
               .fallback = "\"router\"",
               .words = {"router", "tokens", "logits"},
               .doc = "What the jitter multiplies: the router's input alone, or the experts' input with it. logits: it is "
                      "added to the router's result, where the 1 in it cancels in the softmax.",
               .source = "tokens: transformers 5.24 (SwitchTransformersTop1Router), which does so in models of f32; "
                         "logits: fastmoe ee3c561 (SwitchGate)"},
              balanceLossParameter("0.01", "E * the sum over e of (share of tokens whose best expert is e) * (mean "
                                           "probability of e); with per: row, its mean over the rows of the batch."),
              {.name = "balance_of",
               .type = ParameterType::Word,
               .fallback = "\"chosen\"",
               .words = {"chosen", "kept"},
               .doc = "Which tokens count for their expert: all, or those that it did not drop; shares and mean "
                      "probabilities are then sums over the count of kept tokens.",
               .source = "kept: fastmoe ee3c561 (SwitchGate)"},
              zLossParameter(),
              lossMaskParameter(),
              lossPoolParameter(),
              {.name = "bias",
               .type = ParameterType::Bool,
               .fallback = "false",
               .doc = "A bias on the logits? (FastMoE: gate_bias)"},
              initParameter("How the router's weight and bias begin."),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
