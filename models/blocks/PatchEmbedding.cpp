#include "models/Layers.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  if (!site.expects(x, 4, "pictures (batch, channels, height, width)"))
    return {};
  ir::Sizes shape = ir::sizesOf(x);
  std::optional<int64_t> channels = shape[1].constant(), height = shape[2].constant(), width = shape[3].constant();
  if (!channels || !height || !width)
    return site.error(fmt::format("\"patch_embedding\" needs channels, height and width as numbers, and gets {}", ir::describe(shape)));
  auto [patchHeight, patchWidth] = arguments.pair("patch");
  for (auto [what, size, patch] : {std::tuple("height", *height, patchHeight), std::tuple("width", *width, patchWidth)})
    if (size % patch != 0)
      return site.error(arguments.at("patch"), fmt::format("the picture's {} {} is not divisible by the patch's {}", what, size, patch));
  int64_t rows = *height / patchHeight, columns = *width / patchWidth, dim = arguments.integer("dim");
  Ops& ops = site.ops();
  // b c (h p1) (w p2) -> b (h w) (p1 p2 c)
  mlir::Value grid = ops.reshape(x, {shape[0], *channels, rows, patchHeight, columns, patchWidth});
  mlir::Value patches = ops.transpose(grid, {0, 2, 4, 3, 5, 1});
  mlir::Value tokens = ops.reshape(patches, {shape[0], rows * columns, patchHeight * patchWidth * *channels});
  double eps = arguments.number("eps");
  tokens = layerNorm(site.part("norm_in"), tokens, eps);
  tokens = linear(site.part("projection"), tokens, dim, true);
  return layerNorm(site.part("norm_out"), tokens, eps);
}

} // namespace

const Kind& patchEmbeddingBlock() {
  static const Kind kind{
      .name = "patch_embedding",
      .doc = "Pictures (batch, channels, height, width) as tokens: every patch, its pixels in the order row, column, "
             "channel, through "
             "layer_norm, linear, layer_norm. Patches that do not divide the picture are an error.",
      .source = "Dosovitskiy et al. 2020 (arXiv 2010.11929); vit-pytorch 1.8 (ViT.to_patch_embedding)",
      .parameters =
          {
              {.name = "patch", .type = ParameterType::IntegerOrPair, .required = true, .most = 65536, .doc = "A patch's side, or [height, width]."},
              {.name = "dim", .required = true, .doc = "Width of a token (D)."},
              {.name = "eps", .type = ParameterType::Number, .fallback = "1e-5", .least = 0, .most = 1, .doc = "Of both norms."},
          },
      .block = build,
  };
  return kind;
}

} // namespace moec::models
