#include "models/Site.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  if (!site.expects(x, 3, "(batch, tokens, width)"))
    return {};
  const std::string& mode = arguments.word("mode");
  ir::Sizes shape = ir::sizesOf(x);
  Ops& ops = site.ops();
  if (mode == "mean" || mode == "max")
    return ops.reduce(mode == "mean" ? ir::ReduceKind::Mean : ir::ReduceKind::Max, x, 1);
  Size at = mode == "last" ? shape[1] - Size(1) : Size(0);
  return ops.reshape(ops.slice(x, 1, at, 1), {shape[0], shape[2]});
}

} // namespace

const Kind& poolBlock() {
  static const Kind kind{
      .name = "pool",
      .doc = "One vector from all tokens: (batch, tokens, width) gives (batch, width).",
      .source = "vit-pytorch 1.8 (ViT, pool = 'cls' or 'mean')",
      .parameters = {{.name = "mode",
                      .type = ParameterType::Word,
                      .required = true,
                      .words = {"class_token", "mean", "max", "last"},
                      .doc = "class_token is the first token, last the last one."}},
      .block = build,
  };
  return kind;
}

} // namespace moec::models
