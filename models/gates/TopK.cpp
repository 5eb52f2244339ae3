#include "models/gates/Gates.h"
#include "models/gates/Priority.h"

namespace moec::models {

namespace {

void addLosses(Site& site, const Arguments& arguments, mlir::Value logits, mlir::Value indices) {
  if (!site.isTraining() || !logits || !indices)
    return;
  if (arguments.has("balance_loss")) {
    Ops& ops = site.ops();
    mlir::Value chosen;
    int64_t experts = *ir::sizesOf(logits)[1].constant();
    for (int64_t choice = 0; choice < *ir::sizesOf(indices)[1].constant(); ++choice) {
      mlir::Value one = oneHot(ops, ops.slice(indices, 1, choice, 1), experts, site.routerElement());
      chosen = chosen ? ops.add(chosen, one) : one;
    }
    addBalanceLoss(site, arguments, chosen, ops.softmax(logits), 1);
  }
  addZLoss(site, arguments, logits);
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  if (!checkChoices(site, arguments, experts))
    return std::nullopt;
  int64_t choices = arguments.integer("top_k");
  Size count = ir::sizesOf(tokens)[0];
  std::optional<Size> capacity;
  if (arguments.has("capacity")) {
    capacity = fastmoeCapacity(site, arguments.at("capacity"), arguments.numberByMode("capacity"), count, choices,
                               experts);
    if (!capacity)
      return std::nullopt;
  }
  mlir::Type element = site.routerElement();
  mlir::Value logits = routerLogits(site, tokens, experts, arguments.flag("bias"), initsOf(arguments));
  Ops& ops = site.ops();
  if (double deviation = arguments.number("noise"); deviation > 0) {
    mlir::Value draws = ops.random(ir::Distribution::Normal, site.part("noise").path(), {count, experts}, element);
    logits = ops.add(logits, ops.mul(draws, ops.constant({1}, {deviation}, element)));
  }
  bool overAll = arguments.word("softmax") == "all";
  auto [values, indices] = site.choose(overAll ? ops.softmax(logits) : logits, choices);
  mlir::Value weights = overAll ? values : ops.softmax(values); // (T, K)
  if (weights && overAll && arguments.flag("normalize"))
    weights = ops.div(weights, ops.reshape(ops.reduce(ir::ReduceKind::Sum, weights, 1), {count, 1}));
  addLosses(site, arguments, logits, indices);
  return GateResult{
      assignByPriority(site, arguments, indices, weights, {.experts = experts, .capacity = capacity}), weights};
}

} // namespace

const Kind& topKGate() {
  static const Kind kind{
      .name = "top_k",
      .family = Family::Gate,
      .doc = "The k best experts of each token, weighted by the softmax over their k logits; nobody is dropped unless "
             "a capacity is given. "
             "Ties go to the lowest index, which torch.topk leaves open. Weight and bias begin as PyTorch's Linear.",
      .source = "fastmoe ee3c561 (NaiveGate)",
      .parameters =
          {
              {.name = "top_k", .fallback = "2", .most = 65536, .doc = "Choices per token (K)."},
              {.name = "softmax",
               .type = ParameterType::Word,
               .fallback = "\"chosen\"",
               .words = {"chosen", "all"},
               .doc = "Over the k chosen logits, or over all of them before the choice.",
               .source = "chosen: FastMoE's NaiveGate; all: Hugging Face OLMoE"},
              {.name = "normalize",
               .type = ParameterType::Bool,
               .fallback = "false",
               .doc = "With softmax all: divide the k weights by their sum.",
               .source = "Hugging Face Qwen3-MoE (norm_topk_prob)"},
              {.name = "noise",
               .type = ParameterType::Number,
               .fallback = "0",
               .least = 0,
               .most = 1e6,
               .doc = "Deviation of Gaussian noise on the logits, drawn in inference too: p = TopK(softmax(Wx + "
                      "noise)) with softmax all."},
              {.name = "capacity",
               .type = ParameterType::Capacity,
               .least = 0,
               .most = 1e6,
               .doc = "Rows of an expert, as a rate: floor(ceil(rate * T) * K / E). Default: no limit.",
               .source = "fastmoe ee3c561 (GShardGate)"},
              priorityParameter({"token_major", "choice_major", "score", "batch"}),
              {.name = "balance_loss",
               .type = ParameterType::Number,
               .least = 0,
               .most = 1e6,
               .doc = "In training: the coefficient, in the loss, of E * the sum over e of (choices of e over tokens) * (mean of "
                      "e's softmax over all logits). The result of that name is the value without it, about K where all is "
                      "even. Default: there is none.",
               .source = "transformers 5.24 (MixtralForCausalLM: load_balancing_loss_func)"},
              zLossParameter(),
              lossMaskParameter(),
              lossPoolParameter(),
              {.name = "bias",
               .type = ParameterType::Bool,
               .fallback = "true",
               .doc = "A bias on the logits? (FastMoE: gate_bias)"},
              initParameter("How the router's weight and bias begin."),
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
