#include "models/Layers.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

/// (B, E * S, D) as (E, B * S, D): each expert's slots of the whole batch.
mlir::Value byExpert(Ops& ops, mlir::Value slots, int64_t experts, int64_t perExpert) {
  ir::Sizes shape = ir::sizesOf(slots);
  slots = ops.transpose(ops.reshape(slots, {shape[0], experts, perExpert, shape[2]}), {1, 0, 2, 3});
  return ops.reshape(slots, {experts, shape[0] * Size(perExpert), shape[2]});
}

/// The inverse.
mlir::Value byPicture(Ops& ops, mlir::Value rows, const Size& batch, int64_t experts, int64_t perExpert) {
  Size width = ir::sizesOf(rows)[2];
  rows = ops.transpose(ops.reshape(rows, {experts, batch, perExpert, width}), {1, 0, 2, 3});
  return ops.reshape(rows, {batch, experts * perExpert, width});
}

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  if (!site.expects(x, 3, "(batch, tokens, width)"))
    return {};
  std::optional<int64_t> experts = site.expertCount(arguments, "experts"), width = site.width(x);
  if (!experts || !width)
    return {};
  int64_t slots = arguments.integer("slots");
  Size batch = ir::sizesOf(x)[0];
  Ops& ops = site.ops();
  mlir::Value weight = site.parameter("slots", {*experts * slots, *width}, normalInit());
  mlir::Value each = ops.broadcast(weight, {batch, *experts * slots, *width});
  // A slot attends to the tokens, then a token to the slots: the softmax is over tokens in the one, over all experts'
  // slots in the other, and neither is scaled.
  mlir::Value filled = byExpert(ops, ops.attention(each, x, x, 1, 1, false), *experts, slots);
  ExpertSpace space{.count = *experts, .routing = {}};
  mlir::Value rows = site.expert(arguments, "experts", filled, space, site.part("experts").path());
  if (!rows)
    return {};
  if (ir::sizesOf(rows) != ir::sizesOf(filled))
    return site.error(arguments.at("experts"),
                      fmt::format("experts of \"soft_moe\" keep the shape: these make {} of {}",
                                  ir::describe(ir::sizesOf(rows)), ir::describe(ir::sizesOf(filled))));
  return site.ops().attention(x, each, byPicture(site.ops(), rows, batch, *experts, slots), 1, 1, false);
}

} // namespace

const Kind& softMoeBlock() {
  static const Kind kind{
      .name = "soft_moe",
      .doc =
          "A soft mixture of experts. Each expert has slots; a slot is a mixture of all tokens (softmax over the "
          "tokens of x \"slots\"^T), its expert works on it, and a token's result is a mixture of all slots (softmax "
          "over the slots of the same products). Nothing is dropped, and any number of tokens will do. The vectors "
          "of the slots begin standard normal.",
      .source = "Puigcerver et al. 2023 (arXiv 2308.00951); zhaozijie2022/soft-moe (SoftMoE: no normalisation)",
      .parameters =
          {
              {.name = "experts",
               .type = ParameterType::Expert,
               .required = true,
               .doc = "What each expert is, and their count; they keep the width."},
              {.name = "slots", .fallback = "1", .most = 65536, .doc = "How many slots each expert has (S)."},
          },
      .block = build,
  };
  return kind;
}

} // namespace moec::models
