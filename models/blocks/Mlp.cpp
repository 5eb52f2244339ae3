#include "models/Layers.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) { return mlp(site, arguments, inputs[0]); }

} // namespace

const Kind& mlpBlock() {
  static const Kind kind{
      .name = "mlp",
      .doc = "A feed-forward network. moefy replaces it by a moe of such experts. Layers begin as PyTorch's Linear.",
      .source = "vit-pytorch 1.8 (FeedForward); PyTorch 2.5 (torch.nn.Linear)",
      .parameters = mlpParameters(),
      .inExperts = true,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
