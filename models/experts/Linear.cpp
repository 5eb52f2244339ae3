#include "models/Layers.h"
#include "models/experts/Experts.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, mlir::Value rows) {
  std::optional<int64_t> width = site.width(rows);
  if (!width)
    return {};
  int64_t out = arguments.has("out") ? arguments.integer("out") : *width;
  return linear(site, rows, out, arguments.flag("bias"), initsOf(arguments));
}

} // namespace

const Kind& linearExpert() {
  static const Kind kind{
      .name = "linear",
      .family = Family::Expert,
      .doc = "One linear layer each: x W^T + b. Each expert's weights begin uniform in +-1/sqrt(in), as a Linear of its "
             "own, biases with zeros.",
      .source = "fastmoe ee3c561 (FMoELinear)",
      .parameters =
          {
              countParameter(),
              {.name = "out", .doc = "Output width; default: the input's."},
              {.name = "bias", .type = ParameterType::Bool, .fallback = "true", .doc = "Is there a bias?"},
              initParameter(),
          },
      .expert = build,
  };
  return kind;
}

} // namespace moec::models
