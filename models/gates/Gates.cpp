#include "models/gates/Gates.h"

#include "models/Layers.h"

#include <fmt/format.h>

namespace moec::models {

mlir::Value routerLogits(Site& site, mlir::Value tokens, int64_t experts, bool bias) {
  std::optional<int64_t> width = site.width(tokens);
  if (!width)
    return {};
  mlir::Type element = site.routerElement();
  mlir::Value weight = site.parameter("weight", {experts, *width}, uniformFanIn(*width), element);
  mlir::Value logits = site.ops().matmul(site.ops().cast(tokens, element), weight);
  return bias ? site.ops().add(logits, site.parameter("bias", {experts}, uniformFanIn(*width), element)) : logits;
}

std::optional<Size> fastmoeCapacity(Site& site, Position position, double rate, const Size& tokens, int64_t choices,
                                    int64_t experts) {
  Size::Real product;
  product.factors.push_back({.number = rate, .size = {}, .op = '*'});
  product.factors.push_back({.number = {}, .size = tokens, .op = '*'});
  Size capacity = Size::floorDiv(Size(choices) * Size::ceil(product), Size(experts));
  if (capacity == Size(0)) {
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
