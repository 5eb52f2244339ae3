#include "models/Site.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  ir::Sizes from = ir::sizesOf(inputs[0]), to;
  for (const Json& size : arguments.get("shape").list())
    to.push_back(size.isInteger() ? Size(size.integer()) : Size::symbol(size.string()));
  if (ir::product(from) != ir::product(to))
    return site.error(arguments.at("shape"), fmt::format("{} has {} elements and {} has {}; a reshape keeps them all", ir::describe(from),
                                                         ir::product(from).str(), ir::describe(to), ir::product(to).str()));
  return site.ops().reshape(inputs[0], to);
}

} // namespace

const Kind& reshapeBlock() {
  static const Kind kind{
      .name = "reshape",
      .doc = "The same elements, in row-major order, in another shape.",
      .source = "PyTorch 2.5 (torch.reshape)",
      .parameters =
          {{.name = "shape", .type = ParameterType::Shape, .required = true, .doc = "The new sizes: integers, or names of sizes that a call decides."}},
      .block = build,
  };
  return kind;
}

} // namespace moec::models
