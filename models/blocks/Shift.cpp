#include "models/Site.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  ir::Sizes shape = ir::sizesOf(x), first(shape.size(), Size(1));
  if (shape.size() < 2)
    return site.error(fmt::format("\"shift\" takes (batch, tokens, ..), and gets {}", ir::describe(shape)));
  // Cut behind the join: where there is one token, no empty slice comes about.
  Ops& ops = site.ops();
  mlir::Type element = mlir::cast<mlir::RankedTensorType>(x.getType()).getElementType();
  mlir::Value start = ops.constant(std::vector<int64_t>(shape.size(), 1), {static_cast<double>(arguments.integer("start"))}, element);
  first = shape;
  first[1] = Size(1);
  return ops.slice(ops.concat({ops.broadcast(start, first), x}, 1), 1, 0, shape[1]);
}

} // namespace

const Kind& shiftBlock() {
  static const Kind kind{
      .name = "shift",
      .doc = "Each token takes the place of the next one; the first becomes `start`, the last is gone. A decoder's "
             "input from its targets.",
      .source = "transformers 5.24 (SwitchTransformersForConditionalGeneration._shift_right)",
      .parameters = {{.name = "start", .fallback = "0", .least = 0, .doc = "The first token: the id that begins a sequence, or a number."}},
      .block = build,
  };
  return kind;
}

} // namespace moec::models
