#include "models/Layers.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  int64_t out = arguments.integer("out");
  Inits inits = initsOf(arguments);
  if (inits.weight && arguments.has("weight"))
    return site.error(arguments.at("init"), "\"init\" of a weight that another block makes: leave it to that block");
  return linear(site, inputs[0], out, arguments.flag("bias"), inits, &arguments);
}

} // namespace

const Kind& linearBlock() {
  static const Kind kind{
      .name = "linear",
      .doc = "x W^T + b over the last dimension; W is (out, in). Weight and bias begin uniform in +-1/sqrt(in); inside "
             "experts the bias begins "
             "with zeros.",
      .source = "PyTorch 2.5 (torch.nn.Linear)",
      .parameters =
          {
              {.name = "out", .required = true, .doc = "Output width."},
              {.name = "bias", .type = ParameterType::Bool, .fallback = "true", .doc = "Is there a bias?"},
              initParameter(),
              {.name = "weight",
               .type = ParameterType::Text,
               .doc = "The path of another block's parameter of the same shape, as \"embedding.weight\", which this "
                      "one uses as its own."},
          },
      .inExperts = true,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
