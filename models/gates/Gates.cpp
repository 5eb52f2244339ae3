#include "models/gates/Gates.h"

#include "models/Layers.h"

#include <fmt/format.h>

namespace moec::models {

mlir::Value routerLayer(Site& site, mlir::Value x, int64_t out, bool bias) {
  if (!x)
    return {};
  int64_t width = *ir::sizesOf(x).back().constant();
  mlir::Type element = site.routerElement();
  mlir::Value weight = site.parameter("weight", {out, width}, uniformFanIn(width), element);
  mlir::Value y = site.ops().matmul(x, weight);
  return bias ? site.ops().add(y, site.parameter("bias", {out}, uniformFanIn(width), element)) : y;
}

mlir::Value routerLogits(Site& site, mlir::Value tokens, int64_t experts, bool bias) {
  return site.width(tokens) ? routerLayer(site, site.ops().cast(tokens, site.routerElement()), experts, bias)
                            : mlir::Value();
}

std::optional<Size> fastmoeCapacity(Site& site, Position position, double rate, const Size& tokens, int64_t choices,
                                    int64_t experts) {
  Size::Real product;
  product.factors.push_back({.number = rate, .size = {}, .op = '*'});
  product.factors.push_back({.number = {}, .size = tokens, .op = '*'});
  Size capacity = Size::floorDiv(Size(choices) * Size::ceil(product), Size(experts));
  if (capacity == Size(0) || rate == 0) {
    site.error(
        position,
        fmt::format(
            "a capacity rate of {} leaves no place in {} experts for {} tokens with {} choices: all would be dropped",
            rate, experts, tokens.str(), choices));
    return std::nullopt;
  }
  return capacity;
}

bool checkChoices(Site& site, const Arguments& arguments, int64_t experts) {
  int64_t choices = arguments.integer("top_k");
  if (choices <= experts)
    return true;
  site.error(arguments.at("top_k"), fmt::format("\"top_k\" is {} of {} experts", choices, experts));
  return false;
}

} // namespace moec::models
