#include "models/blocks/Blocks.h"
#include "models/blocks/SoftMixture.h"
#include "models/gates/Gumbel.h"

#include <fmt/format.h>

using mlir::Value;

namespace moec::models {

namespace {

/// Tokens, and the vectors of the slots, as their products are taken.
struct Sides {
  Value tokens, slots; // (B, N, D), (E * S, D)
};

/// x and the slots' vectors, normalised as the parameter says.
Sides normalized(Site& site, const Arguments& arguments, Value x, Value slots) {
  const std::string& norm = arguments.word("norm");
  if (norm == "l2")
    return {l2Norm(site, x), l2Norm(site, slots)};
  if (norm == "rms")
    return {lucidrainsRmsNorm(site.part("norm"), x), lucidrainsRmsNorm(site.part("slot_norm"), slots)};
  if (norm == "layer") {
    auto layer = [&](Site here, Value value) {
      Value weight = here.parameter("weight", {*here.width(value)}, Init{Init::Kind::Ones, 0, 0});
      return here.ops().layerNorm(value, weight, {}, 1e-5);
    };
    return {layer(site.part("norm"), x), layer(site.part("slot_norm"), slots)};
  }
  return {x, slots};
}

/// Both softmaxes of products that have noise, which attention has no place for.
class Noisy {
public:
  /// Products (B, N, E * S), and Gumbel noise on them.
  Noisy(Site& site, Value tokens, Value slots, Value keep, double noise) : site_(site) {
    Ops& ops = site.ops();
    mlir::Type element = site.routerElement();
    auto number = [&](double value) { return ops.constant({1}, {value}, element); };
    Value products = ops.matmul(ops.cast(tokens, element), ops.cast(slots, element));
    products_ = withGumbel(site, "noise", products, noise);
    if (keep) // all alike where a token is masked
      products_ = ops.where(ops.compare(ir::Predicate::NE, ops.cast(keep, element), number(0)), products_, number(-1e30));
  }

  Value slotsOf(Value tokens) { // (B, E * S, D)
    return product(site_.ops().transpose(products_, {0, 2, 1}), tokens);
  }
  Value products() const { return products_; }
  Value tokensOf(Value slots) { return product(products_, slots); } // (B, N, D)

private:
  Value product(Value logits, Value values) {
    Ops& ops = site_.ops();
    Value weights = ops.cast(ops.softmax(logits), site_.element());
    return values ? ops.matmul(weights, ops.transpose(values, {0, 2, 1})) : Value();
  }

  Site& site_;
  Value products_;
};

Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<Value> inputs) {
  if (!site.expects(inputs[0], 0, "(batch, tokens, width)"))
    return {};
  ir::Sizes shape = ir::sizesOf(inputs[0]);
  if (shape.size() < 2 || shape.size() > 4)
    return site.error(fmt::format("\"soft_moe\" takes (batch, tokens, width), one token each (batch, width), or pictures (batch, width, rows, columns), "
                                  "and gets {}",
                                  ir::describe(shape)));
  Value x = asTokens(site, inputs[0]);
  std::optional<int64_t> experts = site.expertCount(arguments, "experts"), width = site.width(x);
  Value keep = inputs.size() > 1 ? keepOf(site, inputs[1], ir::sizesOf(x)) : Value();
  if (!experts || !width || (inputs.size() > 1 && !keep))
    return {};
  int64_t perExpert = arguments.integer("slots"), count = *experts * perExpert;
  Size batch = ir::sizesOf(x)[0];
  Ops& ops = site.ops();
  Value vectors = site.parameter("slots", {count, *width}, initOf(initsOf(arguments).weight, *width, count, normalInit()));
  auto [normed, slots] = normalized(site, arguments, x, vectors);
  if (arguments.flag("scale"))
    slots = ops.mul(slots, site.parameter("scale", {1}, Init{Init::Kind::Ones, 0, 0}));
  Value filling = arguments.word("fill") == "tokens" ? x : normed;
  Value asking = keep ? ops.mul(normed, keep) : normed;
  if (double noise = arguments.numberByMode("noise"); noise > 0) {
    Noisy noisy(site, normed, slots, keep, noise);
    addLoadOfSlots(site, noisy.products(), *experts, perExpert);
    return fromTokens(site, noisy.tokensOf(expertsOnSlots(site, arguments, noisy.slotsOf(filling), *experts, perExpert)), shape);
  }
  if (site.wantsStatistics())
    addLoadOfSlots(site, ops.matmul(ops.cast(asking, site.routerElement()), ops.cast(slots, site.routerElement())), *experts, perExpert);
  // A slot attends to the tokens, then a token to the slots: the softmax is over tokens in the one, over all experts'
  // slots in the other, and neither is scaled.
  Value each = ops.broadcast(slots, {batch, count, *width});
  Value filled = mixed(site, {.asking = each, .keys = normed, .values = filling, .keep = keep});
  Value made = expertsOnSlots(site, arguments, filled, *experts, perExpert);
  return fromTokens(site, mixed(site, {.asking = asking, .keys = each, .values = made}), shape);
}

} // namespace

const Kind& softMoeBlock() {
  static const Kind kind{
      .name = "soft_moe",
      .doc = "A soft mixture of experts. Each expert has slots; a slot is a mixture of all tokens (softmax over the "
             "tokens of x \"slots\"^T), its expert works on it, and a token's result is a mixture of all slots (softmax "
             "over the slots of the same products). Nothing is dropped, and any number of tokens will do. The vectors "
             "of the slots begin standard normal. x may also be (batch, width), one token each, or a picture (batch, width, "
             "rows, columns). \"from\" may name a mask (batch, tokens) behind x, 1 for a token and 0 "
             "for none: slots leave those out, and the result of each of them is the mean over all slots.",
      .source = "Puigcerver et al. 2023 (arXiv 2308.00951); zhaozijie2022/soft-moe 5bf98ff (SoftMoE: as it stands here); soft-moe-pytorch 0.1.9 (SoftMoE: "
                "norm rms or layer); bwconrad/soft-moe 4a6482a (SoftMoELayerWrapper: norm l2, scale, slots of deviation 1/sqrt(width))",
      .parameters =
          {
              {.name = "experts", .type = ParameterType::Expert, .required = true, .doc = "What each expert is, and their count; they keep the width."},
              {.name = "slots", .fallback = "1", .most = 65536, .doc = "How many slots each expert has (S)."},
              {.name = "norm",
               .type = ParameterType::Word,
               .fallback = "\"none\"",
               .words = {"none", "l2", "rms", "layer"},
               .doc = "What is done to tokens and to the vectors of the slots before their products: nothing; division by the length; "
                      "an rms_norm each (\"norm\" and \"slot_norm\", of lengths of at least 1e-12); a layer_norm each, without biases.",
               .source = "l2: arXiv 2308.00951, section 2.3; rms and layer: soft-moe-pytorch 0.1.9"},
              {.name = "fill",
               .type = ParameterType::Word,
               .fallback = "\"normalized\"",
               .words = {"normalized", "tokens"},
               .doc = "What slots are mixtures of: tokens as the norm leaves them, or as they come.",
               .source = "normalized: soft-moe-pytorch 0.1.9, bwconrad/soft-moe 4a6482a; tokens: arXiv 2308.00951, section 2.3"},
              {.name = "scale",
               .type = ParameterType::Bool,
               .fallback = "false",
               .doc = "Is there a learned factor of all products? It begins with 1.",
               .source = "arXiv 2308.00951, section 2.3"},
              {.name = "noise",
               .type = ParameterType::Capacity,
               .fallback = "0",
               .least = 0,
               .most = 1e6,
               .doc =
                   "How many times Gumbel noise, -log(-log(u)) of uniform draws, the logarithms being of at least 1e-20, is added to the products, in both softmaxes.",
               .source = "soft-moe-pytorch 0.1.9 (add_noise, noise_mult)"},
              initParameter("How the vectors of the slots (\"weight\") begin."),
          },
      .optionalInputs = 1,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
