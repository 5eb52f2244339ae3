#include "models/Layers.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

#include <cmath>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  if (!site.expects(x, 3, "(batch, tokens, width)"))
    return {};
  std::optional<int64_t> width = site.width(x);
  if (!width)
    return {};
  int64_t heads = arguments.integer("heads");
  if (!arguments.has("head_dim") && *width % heads != 0)
    return site.error(arguments.at("heads"),
                      fmt::format("the width {} is not divisible by {} heads; give \"head_dim\"", *width, heads));
  int64_t headDim = arguments.has("head_dim") ? arguments.integer("head_dim") : *width / heads;
  int64_t inner = heads * headDim;
  mlir::Value qkv = linear(site.part("qkv"), x, 3 * inner, arguments.flag("qkv_bias"));
  Ops& ops = site.ops();
  mlir::Value q = ops.slice(qkv, 2, 0, inner), k = ops.slice(qkv, 2, inner, inner),
              v = ops.slice(qkv, 2, 2 * inner, inner);
  double scale = 1 / std::sqrt(static_cast<double>(headDim));
  mlir::Value y = ops.attention(q, k, v, heads, scale, arguments.flag("causal"));
  if (heads == 1 && headDim == *width)
    return y;
  return linear(site.part("out"), y, *width, arguments.flag("out_bias"));
}

} // namespace

const Kind& attentionBlock() {
  static const Kind kind{
      .name = "attention",
      .doc = "Self-attention of several heads: softmax(q k^T / sqrt(head_dim)) v, then a projection back to the width. "
             "One head as "
             "wide as the input has no projection.",
      .source = "Vaswani et al. 2017 (arXiv 1706.03762); vit-pytorch 1.8 (Attention)",
      .parameters =
          {
              {.name = "heads", .required = true, .most = 65536, .doc = "How many heads."},
              {.name = "head_dim",
               .most = 65536,
               .doc = "Width of a head; default: the input's width over heads, which must come out even."},
              {.name = "qkv_bias",
               .type = ParameterType::Bool,
               .fallback = "true",
               .doc = "A bias on queries, keys and values?"},
              {.name = "out_bias", .type = ParameterType::Bool, .fallback = "true", .doc = "A bias on the projection?"},
              {.name = "causal",
               .type = ParameterType::Bool,
               .fallback = "false",
               .doc = "Does a token see only itself and those before it?"},
              {.name = "dropout",
               .type = ParameterType::Number,
               .fallback = "0",
               .least = 0,
               .most = 0.999,
               .doc = "In training: the probability that one of the softmax's weights becomes 0, as by dropout.",
               .source = "PyTorch 2.5 (torch.nn.MultiheadAttention)"},
          },
      .block = build,
  };
  return kind;
}

} // namespace moec::models
