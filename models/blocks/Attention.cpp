#include "models/Layers.h"
#include "models/blocks/Blocks.h"
#include "models/json/Words.h"

#include <fmt/format.h>

#include <cmath>

namespace moec::models {

namespace {

/// How wide the heads are and how many of them read the same keys; nothing after a report.
struct Heads {
  int64_t queries, keys, dim;
};

std::optional<Heads> headsOf(Site& site, const Arguments& arguments, int64_t width) {
  int64_t heads = arguments.integer("heads"), keyHeads = heads;
  if (arguments.has("kv_heads")) {
    keyHeads = arguments.integer("kv_heads");
    if (heads % keyHeads != 0) {
      site.error(arguments.at("kv_heads"), fmt::format("\"kv_heads\" is {}, which does not divide the {} heads", keyHeads, heads));
      return std::nullopt;
    }
  }
  if (!arguments.has("head_dim") && width % heads != 0) {
    site.error(arguments.at("heads"), fmt::format("the width {} is not divisible by {} heads; give \"head_dim\"", width, heads));
    return std::nullopt;
  }
  int64_t dim = arguments.has("head_dim") ? arguments.integer("head_dim") : width / heads;
  if (arguments.word("rotary") != "none" && dim % 2 != 0) {
    site.error(arguments.at("rotary"), fmt::format("\"rotary\" turns pairs of columns, and the heads are {} wide", dim));
    return std::nullopt;
  }
  return Heads{heads, keyHeads, dim};
}

/// The value added to scores (heads, queries, keys); null after a report.
mlir::Value biasOf(Site& site, const Arguments& arguments, int64_t heads, const Size& queries, const Size& keys) {
  mlir::Value bias = site.named(arguments, "bias");
  if (!bias)
    return {};
  auto type = mlir::cast<mlir::RankedTensorType>(bias.getType());
  ir::Sizes each{Size(heads), queries, keys}, one{Size(1), queries, keys}, sizes = ir::sizesOf(type);
  if (type.getElementType() == site.element() && (sizes == each || sizes == one))
    return bias;
  std::string dtype(name(ir::dtypeOf(site.element())));
  return site.error(arguments.at("bias"),
                    fmt::format("a bias of these scores is {}{}, or {}{} for all heads; {} is {}{}", dtype, ir::describe(each), dtype, ir::describe(one),
                                inQuotes(arguments.word("bias")), name(ir::dtypeOf(type.getElementType())), ir::describe(sizes)));
}

/// Can it continue texts? False after a report.
bool seesBackOnly(Site& site, const Arguments& arguments, bool crosses) {
  if (crosses)
    site.error("a model that continues texts attends to its own tokens, and this attention reads another value");
  else if (!arguments.flag("causal"))
    site.error("a model that continues texts attends to the tokens before, and this attention sees those behind too; "
               "\"causal\" is missing");
  return !crosses && arguments.flag("causal");
}

/// Attention to the new tokens and to those before, whose keys and values are states of the attention.
mlir::Value attentionWithStates(Site& site, mlir::Value q, mlir::Value k, mlir::Value v, const Ops::AttentionRule& rule) {
  if (!q || !k || !v)
    return {};
  Ops& ops = site.ops();
  std::string keys = site.part("keys").path(), values = site.part("values").path();
  ir::Sizes sizes{ir::sizesOf(k)[0], site.context(), ir::sizesOf(k)[2]};
  mlir::Value oldKeys = ops.state(keys, sizes, site.element()), oldValues = ops.state(values, sizes, site.element());
  mlir::Value y = ops.cachedAttention(q, k, v, oldKeys, oldValues, site.tokensBefore(), rule);
  ops.write(keys, ops.append(oldKeys, k, site.tokensBefore()));
  ops.write(values, ops.append(oldValues, v, site.tokensBefore()));
  return y;
}

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0], memory = inputs.back();
  bool crosses = inputs.size() > 1;
  if (!site.expects(x, 3, "(batch, tokens, width)") || !site.expects(memory, 3, "(batch, tokens, width)"))
    return {};
  std::optional<int64_t> width = site.width(x);
  std::optional<Heads> heads = width ? headsOf(site, arguments, *width) : std::nullopt;
  if (!heads || !site.width(memory))
    return {};
  if (crosses && arguments.flag("causal"))
    return site.error(arguments.at("causal"), "\"causal\" is of tokens that attend to each other, and this attention reads another value");
  if (site.isGenerating() && !seesBackOnly(site, arguments, crosses))
    return {};
  int64_t inner = heads->queries * heads->dim, outer = heads->keys * heads->dim;
  Ops& ops = site.ops();
  mlir::Value q, k, v;
  if (crosses) {
    q = linear(site.part("q"), x, inner, arguments.flag("qkv_bias"));
    mlir::Value kv = linear(site.part("kv"), memory, 2 * outer, arguments.flag("qkv_bias"));
    k = ops.slice(kv, 2, 0, outer), v = ops.slice(kv, 2, outer, outer);
  } else {
    mlir::Value qkv = linear(site.part("qkv"), x, inner + 2 * outer, arguments.flag("qkv_bias"));
    q = ops.slice(qkv, 2, 0, inner), k = ops.slice(qkv, 2, inner, outer), v = ops.slice(qkv, 2, inner + outer, outer);
  }
  if (const std::string& style = arguments.word("rotary"); style != "none") {
    double base = arguments.number("rotary_base");
    q = site.ops().rotary(q, site.tokensBefore(), heads->queries, base, style == "interleaved");
    k = site.ops().rotary(k, site.tokensBefore(), heads->keys, base, style == "interleaved");
  }
  mlir::Value bias;
  Size seen = site.isGenerating() ? Size(site.context()) : ir::sizesOf(memory)[1];
  if (arguments.has("bias") && !(bias = biasOf(site, arguments, heads->queries, ir::sizesOf(x)[1], seen)))
    return {};
  double scale = arguments.has("scale") ? arguments.number("scale") : 1 / std::sqrt(static_cast<double>(heads->dim));
  Ops::AttentionRule rule{heads->queries, heads->keys, scale, arguments.flag("causal"), bias};
  if (!q || !k)
    return {};
  if (double p = arguments.number("dropout"); site.isTraining() && p > 0) {
    ir::Sizes weights{ir::sizesOf(q)[0], heads->queries, ir::sizesOf(q)[1], ir::sizesOf(k)[1]};
    rule.draws = site.ops().random(ir::Distribution::Uniform, site.part("dropout").path(), weights, site.routerElement());
    rule.dropout = p;
  }
  mlir::Value y = site.isGenerating() ? attentionWithStates(site, q, k, v, rule) : site.ops().attention(q, k, v, rule);
  if (heads->queries == 1 && heads->dim == *width)
    return y;
  return linear(site.part("out"), y, *width, arguments.flag("out_bias"));
}

} // namespace

const Kind& attentionBlock() {
  static const Kind kind{
      .name = "attention",
      .doc = "Attention of several heads: softmax(scale q k^T + bias) v, then a projection back to the width. Of its "
             "input to itself; or, where \"from\" names two values, of the first to the second (queries \"q\" from "
             "the first, keys and values \"kv\" from the second). One head as wide as the input has no projection. The rows of "
             "\"qkv\" (out, in) are those of the queries, of the keys, then of the values; in each, head by head, head_dim rows. "
             "\"kv\" likewise: keys, then values.",
      .source = "Vaswani et al. 2017 (arXiv 1706.03762); vit-pytorch 1.8 (Attention)",
      .parameters =
          {
              {.name = "heads", .required = true, .most = 65536, .doc = "How many heads."},
              {.name = "kv_heads",
               .most = 65536,
               .doc = "How many heads of keys and values; each serves as many neighbouring heads of queries. Default: "
                      "as many as heads.",
               .source = "Ainslie et al. 2023 (arXiv 2305.13245)"},
              {.name = "head_dim", .most = 65536, .doc = "Width of a head; default: the input's width over heads, which must come out even."},
              {.name = "scale", .type = ParameterType::Number, .least = -1e6, .most = 1e6, .doc = "Of the scores. Default: 1/sqrt(head_dim). T5: 1."},
              {.name = "bias",
               .type = ParameterType::ValueName,
               .doc = "The value, (heads, queries, keys) or (1, queries, keys), that is added to the scores: a "
                      "relative_bias, or an input.",
               .hint = R"(whether queries, keys and values have biases says "qkv_bias", and "out_bias" whether the projection has one)"},
              {.name = "rotary",
               .type = ParameterType::Word,
               .fallback = "\"none\"",
               .words = {"none", "halves", "interleaved"},
               .doc = "Turns queries and keys by their position, from 0: columns i and i + head_dim/2 together "
                      "(halves, as in GPT-NeoX and Llama), or 2i and 2i + 1 (interleaved, as in GPT-J).",
               .source = "Su et al. 2021 (arXiv 2104.09864); transformers 5.24 (LlamaAttention, GPTJAttention)"},
              {.name = "rotary_base",
               .type = ParameterType::Number,
               .fallback = "10000",
               .least = 1,
               .most = 1e12,
               .doc = "Pair i turns by position * rotary_base^(-2i/head_dim)."},
              {.name = "qkv_bias", .type = ParameterType::Bool, .fallback = "true", .doc = "A bias on queries, keys and values?"},
              {.name = "out_bias", .type = ParameterType::Bool, .fallback = "true", .doc = "A bias on the projection?"},
              {.name = "causal", .type = ParameterType::Bool, .fallback = "false", .doc = "Does a token see only itself and those before it?"},
              {.name = "dropout",
               .type = ParameterType::Number,
               .fallback = "0",
               .least = 0,
               .most = 0.999,
               .doc = "In training: the probability that one of the softmax's weights becomes 0, as by dropout.",
               .source = "PyTorch 2.5 (torch.nn.MultiheadAttention)"},
          },
      .optionalInputs = 1,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
