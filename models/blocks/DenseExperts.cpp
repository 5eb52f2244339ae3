#include "models/Site.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  std::optional<int64_t> experts = site.expertCount(arguments, "experts"), width = site.width(x);
  if (!experts || !width)
    return {};
  ir::Sizes shape = ir::sizesOf(x);
  if (shape.size() < 2)
    return site.error("\"dense_experts\" takes (batch, .., width)");
  ir::Sizes leading(shape.begin(), shape.end() - 1);
  Size tokens = ir::product(leading);
  ExpertSpace space{.count = *experts, .routing = {}};
  mlir::Value y = site.expert(arguments, "experts", site.ops().reshape(x, {tokens, *width}), space, site.path());
  if (!y)
    return {};
  ir::Sizes result = ir::sizesOf(y);
  if (result.size() != 3)
    return site.error(arguments.at("experts"), "experts without a layer of their own have nothing to tell them apart");
  leading.insert(leading.begin(), Size(*experts));
  leading.push_back(result.back());
  y = site.ops().reshape(y, leading);
  site.markPerExpert(y);
  return y;
}

} // namespace

const Kind& denseExpertsBlock() {
  static const Kind kind{
      .name = "dense_experts",
      .doc = "Every expert on every row: x (B, .., D) gives (E, B, .., out). The experts' parameters are called by the "
             "block's own name.",
      .source = "Ling, Fast mixture-of-experts in PyTorch (batched experts)",
      .parameters = {{.name = "experts", .type = ParameterType::Expert, .required = true, .doc = "What each expert is, and their count."}},
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
