#include "models/Layers.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) { return rmsNorm(site, inputs[0], arguments.number("eps")); }

} // namespace

const Kind& rmsNormBlock() {
  static const Kind kind{
      .name = "rms_norm",
      .doc = "x / sqrt(mean of x^2 + eps) over the last dimension, times a weight (begins with ones).",
      .source = "Zhang and Sennrich 2019 (arXiv 1910.07467); transformers 5.24 (SwitchTransformersLayerNorm)",
      .parameters = {{.name = "eps", .type = ParameterType::Number, .fallback = "1e-6", .least = 0, .most = 1, .doc = "Added to the mean of squares."}},
      .inExperts = true,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
