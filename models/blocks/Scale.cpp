#include "models/Site.h"
#include "models/blocks/Blocks.h"

#include <cmath>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  if (!site.expects(inputs[0], 0, "(..)"))
    return {};
  double factor = arguments.number("by");
  if (double power = arguments.number("width_power"); power != 0) {
    std::optional<int64_t> width = site.width(inputs[0]);
    if (!width)
      return {};
    factor *= std::pow(static_cast<double>(*width), power);
  }
  return site.ops().mul(inputs[0], site.ops().constant({1}, {factor}, site.element()));
}

} // namespace

const Kind& scaleBlock() {
  static const Kind kind{
      .name = "scale",
      .doc = "x times by * width^width_power; the width is the last dimension. T5 multiplies by width^-0.5 in front of "
             "a head that shares the embedding's weight.",
      .source = "Raffel et al. 2019 (arXiv 1910.10683)",
      .parameters =
          {
              {.name = "by", .type = ParameterType::Number, .fallback = "1", .least = -1e30, .most = 1e30, .doc = "A number."},
              {.name = "width_power", .type = ParameterType::Number, .fallback = "0", .least = -8, .most = 8, .doc = "The power of the width."},
          },
      .inExperts = true,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
