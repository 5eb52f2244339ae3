#include "models/Layers.h"
#include "models/Statistics.h"
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
mlir::Value byExample(Ops& ops, mlir::Value rows, const Size& batch, int64_t experts, int64_t perExpert) {
  Size width = ir::sizesOf(rows)[2];
  rows = ops.transpose(ops.reshape(rows, {experts, batch, perExpert, width}), {1, 0, 2, 3});
  return ops.reshape(rows, {batch, experts * perExpert, width});
}

/// The slots (B, E * S, D): each attends to the tokens with its vector of `each`.
mlir::Value fillSlots(Ops& ops, mlir::Value each, mlir::Value x) {
  return ops.attention(each, x, x, {.heads = 1, .keyHeads = 1, .scale = 1});
}

/// The same without the tokens whose `keep` (B, N, 1) is 0. One more column, of ones in `each`, lowers their products
/// so far that they count only where no token is kept.
mlir::Value fillSlots(Site& site, mlir::Value each, mlir::Value x, mlir::Value keep) {
  Ops& ops = site.ops();
  auto number = [&](double value) { return ops.constant({1, 1, 1}, {value}, site.element()); };
  ir::Sizes shape = ir::sizesOf(x), column = ir::sizesOf(each);
  column[2] = 1;
  mlir::Value lowered = ops.mul(ops.sub(keep, number(1)), number(1e30));
  mlir::Value keys = ops.concat({ops.mul(x, keep), lowered}, 2);
  mlir::Value values = ops.concat({x, ops.broadcast(number(0), ir::sizesOf(keep))}, 2);
  mlir::Value queries = ops.concat({each, ops.broadcast(number(1), column)}, 2);
  return ops.slice(ops.attention(queries, keys, values, {.heads = 1, .keyHeads = 1, .scale = 1}), 2, 0, shape[2]);
}

/// The mask as (B, N, 1); null after a report.
mlir::Value keepOf(Site& site, mlir::Value mask, const ir::Sizes& tokens) {
  if (!site.expects(mask, 2, "a mask (batch, tokens)"))
    return {};
  if (ir::sizesOf(mask) == ir::Sizes{tokens[0], tokens[1]})
    return site.ops().reshape(mask, {tokens[0], tokens[1], 1});
  return site.error(fmt::format("the mask of \"soft_moe\" on {} is {}, not {}", ir::describe(tokens),
                                ir::describe({tokens[0], tokens[1]}), ir::describe(ir::sizesOf(mask))));
}

/// Each expert's load: the sum, over the tokens, of its slots' weights. Attention does not tell them: they are computed
/// again.
void addLoadOfSlots(Site& site, mlir::Value asking, mlir::Value weight, const Size& tokens, int64_t experts,
                    int64_t slots) {
  if (!site.wantsStatistics() || !asking)
    return;
  Ops& ops = site.ops();
  mlir::Value shares =
      ops.softmax(ops.matmul(ops.cast(asking, site.routerElement()), ops.cast(weight, site.routerElement())));
  mlir::Value ofSlots = ops.reduce(ir::ReduceKind::Sum, ops.reshape(shares, {tokens, experts * slots}), 0);
  addLoad(site, ops.reduce(ir::ReduceKind::Sum, ops.reshape(ofSlots, {1, experts, slots}), 2));
}

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  if (!site.expects(x, 3, "(batch, tokens, width)"))
    return {};
  std::optional<int64_t> experts = site.expertCount(arguments, "experts"), width = site.width(x);
  mlir::Value keep = inputs.size() > 1 ? keepOf(site, inputs[1], ir::sizesOf(x)) : mlir::Value();
  if (!experts || !width || (inputs.size() > 1 && !keep))
    return {};
  int64_t slots = arguments.integer("slots");
  Size batch = ir::sizesOf(x)[0];
  Ops& ops = site.ops();
  mlir::Value weight = site.parameter("slots", {*experts * slots, *width}, normalInit());
  mlir::Value each = ops.broadcast(weight, {batch, *experts * slots, *width});
  // A slot attends to the tokens, then a token to the slots: the softmax is over tokens in the one, over all experts'
  // slots in the other, and neither is scaled.
  mlir::Value filled = keep ? fillSlots(site, each, x, keep) : fillSlots(ops, each, x);
  filled = byExpert(site.ops(), filled, *experts, slots);
  ExpertSpace space{.count = *experts, .routing = {}};
  mlir::Value rows = site.expert(arguments, "experts", filled, space, site.part("experts").path());
  if (!rows)
    return {};
  if (ir::sizesOf(rows) != ir::sizesOf(filled))
    return site.error(arguments.at("experts"),
                      fmt::format("experts of \"soft_moe\" keep the shape: these make {} of {}",
                                  ir::describe(ir::sizesOf(rows)), ir::describe(ir::sizesOf(filled))));
  mlir::Value asking = keep ? site.ops().mul(x, keep) : x;
  addLoadOfSlots(site, asking, weight, batch * ir::sizesOf(x)[1], *experts, slots);
  return site.ops().attention(asking, each, byExample(site.ops(), rows, batch, *experts, slots),
                              {.heads = 1, .keyHeads = 1, .scale = 1});
}

} // namespace

const Kind& softMoeBlock() {
  static const Kind kind{
      .name = "soft_moe",
      .doc =
          "A soft mixture of experts. Each expert has slots; a slot is a mixture of all tokens (softmax over the "
          "tokens of x \"slots\"^T), its expert works on it, and a token's result is a mixture of all slots (softmax "
          "over the slots of the same products). Nothing is dropped, and any number of tokens will do. The vectors "
          "of the slots begin standard normal. \"from\" may name a mask (batch, tokens) behind x, 1 for a token and 0 "
          "for none: slots leave those out, and the result of each of them is the mean over all slots.",
      .source = "Puigcerver et al. 2023 (arXiv 2308.00951); zhaozijie2022/soft-moe 5bf98ff (SoftMoE: no normalisation)",
      .parameters =
          {
              {.name = "experts",
               .type = ParameterType::Expert,
               .required = true,
               .doc = "What each expert is, and their count; they keep the width."},
              {.name = "slots", .fallback = "1", .most = 65536, .doc = "How many slots each expert has (S)."},
          },
      .optionalInputs = 1,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
