#include "models/Layers.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) { return layerNorm(site, inputs[0], arguments.number("eps")); }

} // namespace

const Kind& layerNormBlock() {
  static const Kind kind{
      .name = "layer_norm",
      .doc = "(x - mean) / sqrt(variance + eps) over the last dimension, times a weight (begins with ones), plus a "
             "bias (begins with zeros).",
      .source = "Ba et al. 2016 (arXiv 1607.06450); PyTorch 2.5 (torch.nn.LayerNorm)",
      .parameters = {{.name = "eps", .type = ParameterType::Number, .fallback = "1e-5", .least = 0, .most = 1, .doc = "Added to the variance."}},
      .inExperts = true,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
