#include "models/Site.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  if (!site.expects(x, 0, "(..)"))
    return {};
  mlir::Value y = site.body(arguments, "body", x);
  if (!y)
    return {};
  // Inside dense experts the body adds a dimension in front.
  if (ir::broadcastSizes(ir::sizesOf(y), ir::sizesOf(x)) != ir::sizesOf(y) || (ir::sizesOf(y).size() != ir::sizesOf(x).size() && !site.experts()))
    return site.error(
        fmt::format("the body of this residual makes {} of {}; the shapes must agree", ir::describe(ir::sizesOf(y)), ir::describe(ir::sizesOf(x))));
  return site.ops().add(y, x);
}

} // namespace

const Kind& residualBlock() {
  static const Kind kind{
      .name = "residual",
      .doc = "body(x) + x. Adds nothing to the names of parameters.",
      .source = "He et al. 2015 (arXiv 1512.03385)",
      .parameters = {{.name = "body", .type = ParameterType::Body, .required = true, .doc = "What is added to its input."}},
      .container = true,
      .inExperts = true,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
