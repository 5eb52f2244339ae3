#include "models/gates/Gates.h"
#include "models/gates/Priority.h"

namespace moec::models {

namespace {

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
  mlir::Value logits = routerLogits(site, tokens, experts, arguments.flag("bias"));
  Ops& ops = site.ops();
  if (double deviation = arguments.number("noise"); deviation > 0) {
    mlir::Value draws = ops.random(ir::Distribution::Normal, site.part("noise").path(), {count, experts}, element);
    logits = ops.add(logits, ops.mul(draws, ops.constant({1}, {deviation}, element)));
  }
  bool overAll = arguments.word("softmax") == "all";
  auto [values, indices] = ops.select(overAll ? ops.softmax(logits) : logits, choices);
  mlir::Value weights = overAll ? values : ops.softmax(values); // (T, K)
  if (weights && overAll && arguments.flag("normalize"))
    weights = ops.div(weights, ops.reshape(ops.reduce(ir::ReduceKind::Sum, weights, 1), {count, 1}));
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
              {.name = "bias",
               .type = ParameterType::Bool,
               .fallback = "true",
               .doc = "A bias on the logits? (FastMoE: gate_bias)"},
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
