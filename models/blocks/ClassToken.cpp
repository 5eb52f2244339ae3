#include "models/Layers.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments&, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  if (!site.expects(x, 3, "(batch, tokens, width)"))
    return {};
  std::optional<int64_t> width = site.width(x);
  if (!width)
    return {};
  mlir::Value weight = site.parameter("weight", {*width}, normalInit());
  Ops& ops = site.ops();
  mlir::Value token = ops.broadcast(weight, {ir::sizesOf(x)[0], 1, *width});
  return ops.concat({token, x}, 1);
}

} // namespace

const Kind& classTokenBlock() {
  static const Kind kind{
      .name = "class_token",
      .doc = "One learned token before the others, the same in every row of the batch. Begins standard normal.",
      .source = "Dosovitskiy et al. 2020 (arXiv 2010.11929); vit-pytorch 1.8 (ViT.cls_token)",
      .block = build,
  };
  return kind;
}

} // namespace moec::models
