#include "models/Layers.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  if (!site.expects(x, 3, "(batch, tokens, width)"))
    return {};
  std::optional<int64_t> width = site.width(x);
  if (!width)
    return {};
  int64_t length = arguments.integer("length");
  Size tokens = ir::sizesOf(x)[1];
  if (tokens.isConstant() && *tokens.constant() > length)
    return site.error(arguments.at("length"), fmt::format("there are {} tokens and only {} positions", tokens.str(), length));
  if (!tokens.isConstant())
    site.limitSize(tokens, length);
  if (site.isGenerating() && site.context() > length)
    return site.error(arguments.at("length"), fmt::format("a context of {} tokens is asked for, and there are only {} positions", site.context(), length));
  mlir::Value weight = site.parameter("weight", {length, *width}, normalInit());
  Ops& ops = site.ops();
  if (site.isGenerating())
    return ops.add(x, ops.sliceAt(weight, site.tokensBefore(), tokens));
  if (tokens != Size(length))
    weight = ops.slice(weight, 0, 0, tokens);
  return ops.add(x, weight);
}

} // namespace

const Kind& positionEmbeddingBlock() {
  static const Kind kind{
      .name = "position_embedding",
      .doc = "Adds a learned vector to each token by its position. Fewer tokens than positions use the first ones. "
             "Begins standard normal.",
      .source = "Dosovitskiy et al. 2020 (arXiv 2010.11929); vit-pytorch 1.8 (ViT.pos_embedding)",
      .parameters = {{.name = "length", .required = true, .doc = "How many positions there are."}},
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
