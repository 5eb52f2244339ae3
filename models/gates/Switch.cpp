#include "models/gates/Gates.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

/// rate * T / E, rounded, but at least `least_capacity`. Nothing after a report that it is 0, where T is a number.
std::optional<Size> capacityOf(Site& site, const Arguments& arguments, const Size& tokens, int64_t experts) {
  double rate = arguments.evaluationCapacity("capacity");
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

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  bool perRow = arguments.word("per") == "row";
  Size groups = perRow ? site.groups() : Size(1), count = ir::sizesOf(tokens)[0];
  std::optional<Size> capacity = capacityOf(site, arguments, Size::floorDiv(count, groups), experts);
  if (!capacity)
    return std::nullopt;
  mlir::Value logits = routerLogits(site, tokens, experts, arguments.flag("bias"));
  Ops& ops = site.ops();
  auto [weights, indices] = ops.select(ops.softmax(logits), 1);
  return GateResult{ops.assign(indices, {.experts = experts, .capacity = capacity, .groups = groups}), weights};
}

} // namespace

const Kind& switchGate() {
  static const Kind kind{
      .name = "switch",
      .family = Family::Gate,
      .doc = "The best expert of each token, weighted by its softmax over all experts. An expert takes rate * T / E "
             "rows, in the order of tokens, and drops the rest; T is all tokens of the call, or "
             "those of a row of the batch. The paper leaves open how that is rounded. FastMoE's SwitchGate rounds up and has a bias; its jitter is added to the logits, "
             "where the paper multiplies the input. Weight and bias begin as PyTorch's Linear.",
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
              {.name = "jitter",
               .type = ParameterType::Number,
               .fallback = "0.01",
               .least = 0,
               .most = 1,
               .doc = "In training the router's input is multiplied by draws from [1 - jitter, 1 + jitter). In "
                      "inference nothing happens."},
              {.name = "balance_loss",
               .type = ParameterType::Number,
               .fallback = "0.01",
               .least = 0,
               .most = 1e6,
               .doc = "Coefficient of E * sum over e of (share of tokens whose best expert is e) * (mean probability "
                      "of e), in training. In inference nothing happens."},
              {.name = "bias",
               .type = ParameterType::Bool,
               .fallback = "false",
               .doc = "A bias on the logits? (FastMoE: gate_bias)"},
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
