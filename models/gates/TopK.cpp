#include "models/gates/Gates.h"
#include "models/gates/Jitter.h"
#include "models/gates/Priority.h"

namespace moec::models {

namespace {

/// Logits as the choice sees them, and `clean` ones, before jitter and noise.
void addLosses(Site& site, const Arguments& arguments, mlir::Value logits, mlir::Value clean, mlir::Value indices) {
  if (!site.isTraining() || !logits || !indices)
    return;
  if (arguments.has("balance_loss")) {
    Ops& ops = site.ops();
    mlir::Value counts = choiceCounts(ops, indices, *ir::sizesOf(logits)[1].constant(), site.routerElement());
    Size groups = arguments.word("balance_per") == "row" ? site.groups() : Size(1);
    addBalanceLoss(site, arguments, counts, ops.softmax(logits), groups);
  }
  addZLoss(site, arguments, clean);
}

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  if (!checkChoices(site, arguments, experts))
    return std::nullopt;
  int64_t choices = arguments.integer("top_k");
  Size count = ir::sizesOf(tokens)[0];
  std::optional<Size> capacity;
  if (!findCapacity(site, arguments, {CapacityForm::Whole, count, choices, experts}, capacity) || !site.width(tokens))
    return std::nullopt;
  mlir::Type element = site.routerElement();
  mlir::Value x = jitteredInput(site, arguments, tokens);
  mlir::Value clean = routerLayer(site, x, experts, arguments.flag("bias"), initsOf(arguments));
  mlir::Value logits = jitteredLogits(site, arguments, clean);
  Ops& ops = site.ops();
  if (double deviation = arguments.number("noise"); deviation > 0) {
    mlir::Value draws = ops.random(ir::Distribution::Normal, site.part("noise").path(), {count, experts}, element);
    logits = ops.add(logits, ops.mul(draws, ops.constant({1}, {deviation}, element)));
  }
  bool overAll = arguments.word("softmax") == "all";
  auto [values, indices] = site.choose(overAll ? ops.softmax(logits) : logits, choices);
  mlir::Value weights = overAll ? values : ops.softmax(values); // (T, K)
  if (overAll && arguments.flag("normalize"))
    weights = sharesOf(ops, weights);
  addLosses(site, arguments, logits, clean, indices);
  GateResult result{assignByPriority(site, arguments, indices, weights, {.experts = experts, .capacity = capacity}), weights};
  result.tokens = jitteredTokens(site, arguments, x);
  result.logits = logits;
  return result;
}

std::vector<Parameter> parameters() {
  std::vector<Parameter> all = {
      choicesParameter("2"),
      {.name = "softmax",
       .type = ParameterType::Word,
       .fallback = "\"chosen\"",
       .words = {"chosen", "all"},
       .doc = "Over the k chosen logits, or over all of them before the choice.",
       .source = "chosen: FastMoE's NaiveGate, Hugging Face GPT-OSS; all: Hugging Face Mixtral, OLMoE"},
      {.name = "normalize",
       .type = ParameterType::Bool,
       .fallback = "false",
       .doc = "With softmax all: divide the k weights by their sum.",
       .source = "Hugging Face Mixtral, Qwen3-MoE (norm_topk_prob)"},
      {.name = "noise",
       .type = ParameterType::Number,
       .fallback = "0",
       .least = 0,
       .most = 1e6,
       .doc = "Deviation of Gaussian noise on the logits, drawn in inference too: p = TopK(softmax(Wx + "
              "noise)) with softmax all."},
      capacityParameter("", "Rows of an expert, as a rate: floor(ceil(rate * T) * K / E). Default: no limit.", "fastmoe ee3c561 (GShardGate)"),
      priorityParameter({"token_major", "choice_major", "score", "batch"}),
  };
  for (Parameter& parameter : jitterParameters("0"))
    all.push_back(std::move(parameter));
  all.push_back({.name = "balance_loss",
                 .type = ParameterType::Number,
                 .least = 0,
                 .most = 1e6,
                 .doc = "In training: the coefficient, in the loss, of E * the sum over e of (choices of e over tokens) "
                        "* (mean of e's softmax over all logits). The result of that name is the value without it, "
                        "about K where all is even. Default: there is none.",
                 .source = "transformers 5.24 (Mixtral: load_balancing_loss_func)"});
  all.push_back({.name = "balance_per",
                 .type = ParameterType::Word,
                 .fallback = "\"call\"",
                 .words = {"call", "row"},
                 .doc = "Of what that loss is: the call, or the mean over each row of the batch, x being (.., tokens, D).",
                 .source = "row: DeepSeek-V2's sequence-wise loss (arXiv 2405.04434, seq_aux), with its coefficient over K"});
  all.push_back(zLossParameter());
  all.push_back(lossMaskParameter());
  all.push_back(lossPoolParameter());
  all.push_back(routerBiasParameter());
  all.push_back(routerInitParameter());
  return all;
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
      .parameters = parameters(),
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
