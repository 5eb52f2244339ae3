#include "models/Layers.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  auto type = mlir::cast<mlir::RankedTensorType>(inputs[0].getType());
  DType dtype = ir::dtypeOf(type.getElementType());
  if (dtype != DType::I64 && dtype != DType::I32)
    return site.error(
        fmt::format("\"embedding\" takes integers (an input with \"dtype\": \"i64\"), and gets {}{}", name(dtype), ir::describe(ir::sizesOf(type))));
  int64_t vocabulary = arguments.integer("vocabulary");
  mlir::Value table = site.sharedParameter(arguments, "weight", {vocabulary, arguments.integer("dim")}, normalInit());
  return site.limitIds(inputs[0], vocabulary) ? site.ops().embedding(inputs[0], table) : mlir::Value();
}

} // namespace

const Kind& embeddingBlock() {
  static const Kind kind{
      .name = "embedding",
      .doc = "A learned vector for each id: (..) gives (.., dim). Ids outside of [0, vocabulary) are an error at run "
             "time. Begins standard normal.",
      .source = "PyTorch 2.5 (torch.nn.Embedding)",
      .parameters =
          {
              {.name = "vocabulary", .required = true, .doc = "How many ids there are."},
              {.name = "dim", .required = true, .doc = "Width of a vector (D)."},
              {.name = "weight",
               .type = ParameterType::Text,
               .doc = "The path of another block's parameter of the same shape, as \"embedding.weight\", which this "
                      "one uses as its own."},
          },
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
