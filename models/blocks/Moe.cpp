#include "models/Layers.h"
#include "models/blocks/Blocks.h"
#include "models/json/Words.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

/// The sum of one group's experts, of which the first is the layer's expert `first`: (T, out).
mlir::Value mixture(Site& site, const Arguments& arguments, mlir::Value tokens, const GateResult& gate, const ExpertGroup& group, int64_t first, bool isWhole) {
  Ops& ops = site.ops();
  if (gate.routing) {
    mlir::Value routing = isWhole ? gate.routing : ops.expertsOf(gate.routing, first, group.count);
    ExpertSpace space{.count = group.count, .routing = routing};
    mlir::Value rows = ops.dispatch(tokens, routing);
    if (gate.scales)
      rows = ops.mul(rows, ops.cast(ops.rowWeights(gate.scales, routing), site.element()));
    rows = site.expert(arguments, group, rows, space); // (R, out)
    return rows ? site.ops().combine(rows, routing, gate.weights) : rows;
  }
  ExpertSpace space{.count = group.count, .routing = {}};
  mlir::Value all = site.expert(arguments, group, tokens, space); // (E, T, out)
  if (all && ir::sizesOf(all).size() != 3)
    return site.error(group.json->position(), "experts without a layer of their own have nothing to tell them apart");
  int64_t axis = static_cast<int64_t>(ir::sizesOf(gate.weights).size()) - 1;
  return weightedSum(site, all, isWhole ? gate.weights : site.ops().slice(gate.weights, axis, first, group.count));
}

/// The sum of the experts of the tokens (T, D) as the gate says, group by group: (T, out).
mlir::Value mixture(Site& site, const Arguments& arguments, mlir::Value tokens, const GateResult& gate, const std::vector<ExpertGroup>& groups) {
  mlir::Value sum;
  int64_t first = 0;
  if (gate.outer)
    tokens = gate.outer->rows;
  else if (gate.tokens)
    tokens = gate.tokens;
  for (const ExpertGroup& group : groups) {
    mlir::Value part = mixture(site, arguments, tokens, gate, group, first, groups.size() == 1);
    if (!part)
      return {};
    if (sum && ir::sizesOf(sum) != ir::sizesOf(part))
      return site.error(group.json->position(), fmt::format("these experts make {} of each token, those before them {}; the widths must agree",
                                                            ir::sizesOf(part).back().str(), ir::sizesOf(sum).back().str()));
    sum = sum ? site.ops().add(sum, part) : part;
    first += group.count;
  }
  return gate.outer ? site.ops().combine(sum, gate.outer->routing, gate.outer->weights) : sum;
}

/// y plus the shared expert of the tokens, through its gate if there is one.
mlir::Value withShared(Site& site, const Arguments& arguments, mlir::Value tokens, mlir::Value y) {
  mlir::Value shared = site.plainExpert(arguments, "shared", tokens);
  if (!shared)
    return {};
  if (ir::sizesOf(shared) != ir::sizesOf(y))
    return site.error(arguments.at("shared"), fmt::format("the shared expert makes {}, the others {}; the shapes must agree", ir::describe(ir::sizesOf(shared)),
                                                          ir::describe(ir::sizesOf(y))));
  if (arguments.flag("shared_gate")) {
    mlir::Value gate = linear(site.part("shared_gate"), tokens, 1, false); // (T, 1)
    shared = site.ops().mul(shared, site.ops().unary<ir::SigmoidOp>(gate));
  }
  return site.ops().add(y, shared);
}

/// Tokens that the experts leave out: those whose mask is not 0.
struct Masked {
  mlir::Value computed; // bool (T, 1)
  mlir::Value values;   // (T, 1) of the weights' dtype: what each of the others gets in an expert's place
};

/// Nothing without a mask. With null values after a report.
std::optional<Masked> maskOf(Site& site, const Arguments& arguments, const Size& tokens) {
  if (!arguments.has("mask"))
    return std::nullopt;
  mlir::Value mask = site.named(arguments, "mask");
  if (!mask)
    return Masked{};
  DType dtype = ir::dtypeOf(mlir::cast<mlir::RankedTensorType>(mask.getType()).getElementType());
  if ((dtype != DType::I64 && dtype != DType::I32) || !(ir::product(ir::sizesOf(mask)) == tokens)) {
    site.error(arguments.at("mask"), fmt::format("{} is {}{}; a mask has an integer for each of the {} tokens (an input with \"dtype\": \"i64\")",
                                                 inQuotes(arguments.word("mask")), name(dtype), ir::describe(ir::sizesOf(mask)), tokens.str()));
    return Masked{};
  }
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement(), integer = ops.element(dtype);
  mask = ops.reshape(mask, {tokens, 1});
  auto number = [&](double value, mlir::Type of) { return ops.constant({1}, {value}, of); };
  auto is = [&](int64_t value) { return ops.compare(ir::Predicate::EQ, mask, number(static_cast<double>(value), integer)); };
  mlir::Value values;
  if (arguments.has("mask_values"))
    for (auto [i, value] : llvm::enumerate(arguments.numbers("mask_values"))) {
      mlir::Value mine = ops.mul(ops.cast(is(static_cast<int64_t>(i) + 1), element), number(value, element));
      values = values ? ops.add(values, mine) : mine;
    }
  return Masked{is(0), values ? values : ops.broadcast(number(0, element), {tokens, 1})};
}

/// The gate's choices without those of masked tokens, which have taken places as the others: (T, K).
void leaveOut(Site& site, const Masked& masked, GateResult& gate) {
  if (!gate.routing)
    return;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  int64_t choices = mlir::cast<ir::RoutingType>(gate.routing.getType()).getChoices();
  mlir::Value column = ops.cast(masked.computed, element);
  mlir::Value all = ops.add(column, ops.constant({1, choices}, std::vector<double>(static_cast<size_t>(choices), 0), element));
  gate.routing = ops.drop(gate.routing, ops.compare(ir::Predicate::NE, all, ops.constant({1}, {0}, element)));
}

/// y (T, out), and in the rows of masked tokens their values, by the weights of all choices as an expert's.
mlir::Value withMasked(Site& site, const Masked& masked, mlir::Value weights, mlir::Value y) {
  Ops& ops = site.ops();
  mlir::Value sums = ops.reshape(ops.reduce(ir::ReduceKind::Sum, weights, 1), {ir::sizesOf(weights)[0], 1});
  return ops.where(masked.computed, y, ops.cast(ops.mul(sums, masked.values), site.element()));
}

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  std::optional<std::vector<ExpertGroup>> groups = site.expertGroups(arguments, "experts");
  std::optional<int64_t> width = site.width(x);
  if (!groups || !width)
    return {};
  if (arguments.flag("shared_gate") && !arguments.has("shared"))
    return site.error(arguments.at("shared_gate"), "\"shared_gate\" goes with \"shared\", the expert that it weights");
  int64_t experts = 0;
  for (const ExpertGroup& group : *groups)
    experts += group.count;
  ir::Sizes shape = ir::sizesOf(x);
  Size count = ir::product(ir::Sizes(shape.begin(), shape.end() - 1));
  Size batchRows = shape.size() > 2 ? ir::product(ir::Sizes(shape.begin(), shape.end() - 2)) : Size(1);
  mlir::Value tokens = site.ops().reshape(x, {count, *width}); // (T, D)
  std::optional<GateResult> gate = site.gate(arguments, "gate", tokens, batchRows, experts);
  if (!gate || !gate->weights)
    return {};
  std::optional<Masked> masked = maskOf(site, arguments, count);
  if (masked && gate->outer)
    return site.error(arguments.at("mask"), "a gate of two levels takes no mask: its experts see rows, not tokens");
  if (masked && !masked->values)
    return {};
  if (masked)
    leaveOut(site, *masked, *gate);
  mlir::Value y = mixture(site, arguments, tokens, *gate, *groups);
  if (y && masked)
    y = withMasked(site, *masked, gate->weights, y);
  if (y && arguments.has("shared"))
    y = withShared(site, arguments, tokens, y);
  if (!y)
    return {};
  shape.back() = ir::sizesOf(y).back();
  y = site.ops().reshape(y, shape);
  return arguments.has("out") ? linear(site.part("out"), y, arguments.integer("out"), true) : y;
}

} // namespace

const Kind& moeBlock() {
  static const Kind kind{
      .name = "moe",
      .doc = "A mixture of experts: the gate chooses experts for every token, each expert works on its tokens, and a "
             "token's result is "
             "the sum of its experts', weighted by the gate. A dropped choice adds nothing, and the other weights stay "
             "as they are. All tokens "
             "of the call are one group, or each row of the batch is one, as the gate says. A dense gate sends every "
             "token to every expert.",
      .source = "Shazeer et al. 2017 (arXiv 1701.06538); fastmoe ee3c561 (FMoE)",
      .parameters =
          {
              {.name = "gate", .type = ParameterType::Gate, .required = true, .doc = "Who goes where."},
              {.name = "experts",
               .type = ParameterType::Experts,
               .required = true,
               .doc = "What each expert is, and their count. A list is of experts of several kinds or sizes: the gate "
                      "sees all of them, numbered in order, and the parameters of the first are called experts.0."},
              {.name = "shared",
               .type = ParameterType::ExpertBody,
               .doc = "An expert that every token goes to, beside the gate's choice; its result is added.",
               .source = "transformers 5.24 (DeepseekV3MoE, Qwen2MoeSparseMoeBlock)"},
              {.name = "shared_gate",
               .type = ParameterType::Bool,
               .fallback = "false",
               .doc = "Is the shared expert weighted by the sigmoid of a linear layer of the token, without a bias?",
               .source = "transformers 5.24 (Qwen2MoeSparseMoeBlock: shared_expert_gate)"},
              {.name = "mask",
               .type = ParameterType::ValueName,
               .doc = "The name of an input or a block with an integer for each token. Experts compute those with a 0; each of the "
                      "others gets its number of mask_values for the result of every expert, weighted as that. The gate sees all "
                      "tokens, and they take their places in the experts' capacities.",
               .source = "fastmoe ee3c561 (FMoE: mask)"},
              {.name = "mask_values",
               .type = ParameterType::Numbers,
               .least = -1e30,
               .most = 1e30,
               .doc = "What tokens get whose mask is 1, 2 and so on. Others get 0.",
               .source = "fastmoe ee3c561 (FMoE: mask_dict)"},
              {.name = "out", .doc = "A linear layer behind the sum, to this width; default: none."},
          },
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
