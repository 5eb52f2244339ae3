#include "models/Site.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  ir::Sizes first = ir::sizesOf(inputs[0]);
  int64_t rank = static_cast<int64_t>(first.size());
  int64_t axis = arguments.has("axis") ? arguments.integer("axis") : rank - 1;
  if (axis >= rank)
    return site.error(arguments.at("axis"), fmt::format("\"axis\" is {}; the values {} have axes 0 to {}", axis, ir::describe(first), rank - 1));
  if (site.isGenerating() && !first[axis].isConstant())
    return site.error("a model that continues texts cannot join tokens, and this concat is along them");
  mlir::Type element = mlir::cast<mlir::RankedTensorType>(inputs[0].getType()).getElementType();
  for (mlir::Value other : inputs.drop_front()) {
    auto type = mlir::cast<mlir::RankedTensorType>(other.getType());
    ir::Sizes sizes = ir::sizesOf(type);
    bool fits = sizes.size() == first.size() && type.getElementType() == element;
    for (int64_t i = 0; fits && i < rank; ++i)
      fits = i == axis || sizes[i] == first[i];
    if (!fits)
      return site.error(fmt::format("\"concat\" along axis {} joins values of one dtype that differ in that axis only, "
                                    "and gets {}{} and {}{}",
                                    axis, name(ir::dtypeOf(element)), ir::describe(first), name(ir::dtypeOf(type.getElementType())), ir::describe(sizes)));
  }
  return site.ops().concat(inputs, axis);
}

} // namespace

const Kind& concatBlock() {
  static const Kind kind{
      .name = "concat",
      .doc = "The values that \"from\" names, one behind the other along an axis.",
      .source = "PyTorch 2.5 (torch.cat)",
      .parameters = {{.name = "axis", .least = 0, .most = 7, .doc = "The axis along which they stand, from 0; default: the last."}},
      .inputs = 2,
      .optionalInputs = 62,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
