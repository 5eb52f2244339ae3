#include "models/Layers.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

/// The sum of the experts of the tokens (T, D) as the gate says: (T, out).
mlir::Value mixture(Site& site, const Arguments& arguments, mlir::Value tokens, const GateResult& gate,
                    int64_t experts) {
  ExpertSpace space{.count = experts, .routing = gate.routing};
  std::string path = site.part("experts").path();
  if (gate.routing) {
    mlir::Value rows = site.ops().dispatch(gate.outer ? gate.outer->rows : tokens, gate.routing); // (R, D)
    rows = site.expert(arguments, "experts", rows, space, path);
    mlir::Value y = rows ? site.ops().combine(rows, gate.routing, gate.weights) : rows;
    return y && gate.outer ? site.ops().combine(y, gate.outer->routing, gate.outer->weights) : y;
  }
  mlir::Value all = site.expert(arguments, "experts", tokens, space, path); // (E, T, out)
  if (all && ir::sizesOf(all).size() != 3)
    return site.error(arguments.at("experts"), "experts without a layer of their own have nothing to tell them apart");
  return weightedSum(site, all, gate.weights);
}

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  std::optional<int64_t> experts = site.expertCount(arguments, "experts"), width = site.width(x);
  if (!experts || !width)
    return {};
  ir::Sizes shape = ir::sizesOf(x);
  Size count = ir::product(ir::Sizes(shape.begin(), shape.end() - 1));
  Size groups = shape.size() > 2 ? ir::product(ir::Sizes(shape.begin(), shape.end() - 2)) : Size(1);
  mlir::Value tokens = site.ops().reshape(x, {count, *width}); // (T, D)
  std::optional<GateResult> gate = site.gate(arguments, "gate", tokens, groups, *experts);
  if (!gate || !gate->weights)
    return {};
  mlir::Value y = mixture(site, arguments, tokens, *gate, *experts);
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
               .type = ParameterType::Expert,
               .required = true,
               .doc = "What each expert is, and their count."},
              {.name = "out", .doc = "A linear layer behind the sum, to this width; default: none."},
          },
      .block = build,
  };
  return kind;
}

} // namespace moec::models
