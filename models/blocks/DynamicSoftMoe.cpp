#include "models/blocks/Blocks.h"
#include "models/blocks/SoftMixture.h"

using mlir::Value;

namespace moec::models {

namespace {

/// x with `experts` rows of zeros behind its tokens, cut to the next multiple of `experts`.
Value padded(Site& site, Value x, int64_t experts, const Size& length) {
  Ops& ops = site.ops();
  ir::Sizes shape = ir::sizesOf(x);
  shape[1] = experts;
  Value zeros = ops.broadcast(ops.constant({1, 1, 1}, {0}, site.element()), shape);
  return ops.slice(ops.concat({x, zeros}, 1), 1, 0, length);
}

/// What tokens (B, N, D) ask of the vectors of the slots (B, M, D): their products, (B, N, M), with the masks (B, N, 1) and
/// (B, M, 1) as `mixed` has them.
Value productsOf(Site& site, Value tokens, Value vectors, Value asks, Value taken) {
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  auto number = [&](double value) { return ops.constant({1, 1, 1}, {value}, element); };
  asks = ops.cast(asks, element), taken = ops.cast(taken, element);
  Value products = ops.matmul(ops.mul(ops.cast(tokens, element), asks), ops.mul(ops.cast(vectors, element), taken));
  Value lowered = ops.transpose(ops.mul(ops.sub(taken, number(1)), number(1e30)), {0, 2, 1}); // (B, 1, M)
  return ops.add(products, ops.mul(asks, lowered));
}

Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<Value> inputs) {
  if (!site.expects(inputs[0], 3, "(batch, tokens, width)"))
    return {};
  ir::Sizes shape = ir::sizesOf(inputs[0]);
  std::optional<int64_t> experts = site.expertCount(arguments, "experts"), width = site.width(inputs[0]);
  if (!experts || !width)
    return {};
  Ops& ops = site.ops();
  auto number = [&](double value) { return ops.constant({1, 1, 1}, {value}, site.element()); };
  Value keep = inputs.size() > 1 ? keepOf(site, inputs[1], shape) : ops.broadcast(number(1), {shape[0], shape[1], 1});
  if (!keep)
    return {};
  Size batch = shape[0], each = Size::ceilDiv(shape[1], *experts); // slots of an expert
  Size length = each * Size(*experts);
  Value x = padded(site, lucidrainsRmsNorm(site.part("norm"), inputs[0]), *experts, length);
  keep = padded(site, keep, *experts, length);

  // A slot of every expert for each run of E tokens, made of the mean of those that are kept.
  auto sums = [&](Value value, int64_t columns) { return ops.reduce(ir::ReduceKind::Sum, ops.reshape(value, {batch, each, *experts, columns}), 2); };
  Value counts = sums(keep, 1); // (B, S, 1)
  Value means = ops.div(sums(ops.mul(x, keep), *width), ops.binary<ir::MaxOp>(counts, number(1e-5)));
  Value vectors = linear(site.part("to_slots"), means, *experts * *width, false); // (B, S, E * D)
  vectors = ops.transpose(ops.reshape(vectors, {batch, each, *experts, *width}), {0, 2, 1, 3});
  vectors = lucidrainsRmsNorm(site.part("slot_norm"), ops.reshape(vectors, {batch, length, *width}));
  Value taken = ops.binary<ir::MinOp>(counts, number(1)); // 0 for a slot without a token
  taken = ops.reshape(ops.broadcast(ops.reshape(taken, {batch, 1, each, 1}), {batch, *experts, each, 1}), {batch, length, 1});

  if (site.wantsStatistics()) {
    auto real = [&](Value value) { return ops.slice(value, 1, 0, shape[1]); }; // without the padding
    addLoadOfSlots(site, productsOf(site, real(x), vectors, real(keep), taken), *experts, each);
  }
  Value filled = mixed(site, {.asking = vectors, .keys = x, .values = x, .asks = taken, .keep = keep});
  Value made = expertsOnSlots(site, arguments, filled, *experts, each);
  Value y = mixed(site, {.asking = x, .keys = vectors, .values = made, .asks = keep, .keep = taken});
  return y ? ops.slice(y, 1, 0, shape[1]) : y;
}

} // namespace

const Kind& dynamicSoftMoeBlock() {
  static const Kind kind{
      .name = "dynamic_soft_moe",
      .doc = "A soft mixture of experts whose slots are made of the tokens: as soft_moe with an rms_norm of each side, but each run of E tokens makes "
             "a slot of every expert, whose vector is a linear layer (\"to_slots\") of their mean. There are about as many slots as tokens, of any "
             "number. The last run may be short: what it lacks is masked. \"from\" may name a mask (batch, tokens) behind x, 1 for a token and 0 for "
             "none: such tokens are in no slot, a slot without any token in its run is in no other token's result, and the result of a masked token is the "
             "mean over all slots.",
      .source = "soft-moe-pytorch 0.1.9 (DynamicSlotsSoftMoE)",
      .parameters =
          {
              {.name = "experts", .type = ParameterType::Expert, .required = true, .doc = "What each expert is, and their count (E); they keep the width."},
          },
      .optionalInputs = 1,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
