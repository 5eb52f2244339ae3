#include "models/gates/Gates.h"
#include "models/gates/Jitter.h"
#include "models/gates/Priority.h"
#include "models/gates/Workers.h"

namespace moec::models {

namespace {

void addLosses(Site& site, const Arguments& arguments, mlir::Value logits, mlir::Value probabilities, const GateResult& result, mlir::Value indices,
               const Size& groups) {
  if (!probabilities || !indices || !result.routing)
    return;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  ir::Sizes shape = ir::sizesOf(probabilities);
  mlir::Value kept;
  if (arguments.word("balance_of") == "kept")
    kept = keptChoices(ops, result.routing, shape[0], 1, element);
  mlir::Value chosen = oneHot(ops, indices, *shape[1].constant(), element);
  addBalanceLoss(site, arguments, chosen, probabilities, groups, kept);
  addZLoss(site, arguments, logits);
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  Size groups = capacityGroups(site, arguments), count = ir::sizesOf(tokens)[0];
  std::optional<int64_t> workers = workersOf(site, arguments, count, experts);
  if (!workers)
    return std::nullopt;
  std::optional<Size> capacity;
  if (!findCapacity(site, arguments, {CapacityForm::Share, Size::floorDiv(count, groups), 1, experts}, capacity) || !site.width(tokens))
    return std::nullopt;
  mlir::Value x = jitteredInput(site, arguments, tokens);
  mlir::Value logits = routerLayer(site, x, experts, arguments.flag("bias"), initsOf(arguments));
  Ops& ops = site.ops();
  mlir::Value jittered = jitteredLogits(site, arguments, logits), probabilities = ops.softmax(jittered);
  auto [weights, indices] = site.choose(probabilities, 1);
  GateResult result{assignByPriority(site, arguments, indices, weights, {.experts = experts, .capacity = capacity, .groups = groups}), weights};
  result.tokens = jitteredTokens(site, arguments, x);
  result.logits = jittered;
  if (site.isTraining())
    addLosses(site, arguments, logits, probabilities, result, indices, *workers > 1 ? Size(*workers) : groups);
  return result;
}

std::vector<Parameter> parameters() {
  std::vector<Parameter> all = {
      {.name = "top_k", .fallback = "1", .most = 1, .doc = "Choices per token (K): always 1."},
      capacityParameter("{\"train\": 1.25, \"eval\": 2.0}", "The rate: places of all experts together, over T."),
      {.name = "rounding",
       .type = ParameterType::Word,
       .fallback = "\"down\"",
       .words = {"down", "up"},
       .doc = "Of rate * T / E.",
       .source = "up: fastmoe ee3c561 (SwitchGate)"},
      {.name = "expert_capacity",
       .doc = "How many tokens an expert takes, as a number in place of the rate.",
       .source = "transformers 5.24 (SwitchTransformersTop1Router), with per: row"},
      leastCapacityParameter("1", 0, "What an expert takes at least. 0: a capacity that rounds to 0 is an error."),
      capacityPerParameter("\"call\"", "row: Hugging Face SwitchTransformers"),
      workersParameter("Each has a balance loss of its own, of which the mean is taken; an expert's capacity is for the "
                       "tokens of all, of the first worker's before the second's.",
                       "fastmoe ee3c561 (world_size)"),
      priorityParameter({"token_major", "score"}),
  };
  for (Parameter& parameter : jitterParameters("0.01"))
    all.push_back(std::move(parameter));
  all.push_back(balanceLossParameter("0.01", "E * the sum over e of (share of tokens whose best expert is e) * (mean "
                                             "probability of e); with per: row, its mean over the rows of the batch."));
  all.push_back({.name = "balance_of",
                 .type = ParameterType::Word,
                 .fallback = "\"chosen\"",
                 .words = {"chosen", "kept"},
                 .doc = "Which tokens count for their expert: all, or those that it did not drop; shares and mean "
                        "probabilities are then sums over the count of kept tokens. A row of the batch, or a worker, that "
                        "keeps none counts as 0 in the mean.",
                 .source = "kept: fastmoe ee3c561 (SwitchGate)"});
  all.push_back(zLossParameter());
  all.push_back(lossMaskParameter());
  all.push_back(lossPoolParameter());
  all.push_back(routerBiasParameter("false"));
  all.push_back(routerInitParameter());
  return all;
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
      .parameters = parameters(),
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
