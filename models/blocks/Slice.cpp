#include "models/Site.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  ir::Sizes shape = ir::sizesOf(inputs[0]);
  int64_t axis = arguments.integer("axis"), start = arguments.integer("start");
  if (axis >= static_cast<int64_t>(shape.size()))
    return site.error(arguments.at("axis"), fmt::format("\"axis\" is {}; the value {} has axes 0 to {}", axis, ir::describe(shape), shape.size() - 1));
  if (site.isGenerating() && !shape[axis].isConstant())
    return site.error(arguments.at("axis"), "a model that continues texts cannot leave tokens out, and this slice is along them");
  Size size = arguments.has("size") ? Size(arguments.integer("size")) : shape[axis] - Size(start);
  std::optional<int64_t> there = shape[axis].constant();
  if (there && (start >= *there || start + *size.constant() > *there))
    return site.error(arguments.at(arguments.has("size") ? "size" : "start"),
                      fmt::format("axis {} of {} has {} elements; the slice takes {} of them from {}", axis, ir::describe(shape), *there, size.str(), start));
  return site.ops().slice(inputs[0], axis, start, size);
}

} // namespace

const Kind& sliceBlock() {
  static const Kind kind{
      .name = "slice",
      .doc = "A part of one axis: elements start to start + size. Where the axis' size is known only at a call, a call "
             "with too few is an error.",
      .source = "PyTorch 2.5 (torch.narrow)",
      .parameters =
          {
              {.name = "axis", .required = true, .least = 0, .most = 7, .doc = "The axis, from 0."},
              {.name = "start", .fallback = "0", .least = 0, .doc = "The first element taken."},
              {.name = "size", .doc = "How many elements; default: all the others."},
          },
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
