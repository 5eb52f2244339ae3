#include "models/gates/Gates.h"

#include "models/Layers.h"
#include "models/gates/Workers.h"

#include <fmt/format.h>

#include <numeric>

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

mlir::Value oneHot(Ops& ops, mlir::Value indices, int64_t experts, mlir::Type element) {
  std::vector<double> numbers(static_cast<size_t>(experts));
  std::iota(numbers.begin(), numbers.end(), 0);
  mlir::Value all = ops.constant({1, experts}, numbers, element);
  return ops.cast(ops.compare(ir::Predicate::EQ, ops.cast(indices, element), all), element);
}

mlir::Value balanceLoss(Site& site, mlir::Value chosen, mlir::Value probabilities, const Size& groups,
                        mlir::Value kept) {
  if (!chosen || !probabilities)
    return {};
  Ops& ops = site.ops();
  auto means = [&](mlir::Value x) { return groupMeans(ops, x, groups); };
  int64_t experts = *ir::sizesOf(chosen)[1].constant();
  mlir::Value shares = means(kept ? ops.mul(chosen, kept) : chosen), proxies = means(probabilities);
  if (kept) {
    mlir::Value share = means(kept); // (G, 1)
    shares = ops.div(shares, share), proxies = ops.div(proxies, share);
  }
  mlir::Value mean = ops.reduceAll(ir::ReduceKind::Mean, ops.mul(shares, proxies));
  double square = static_cast<double>(experts) * static_cast<double>(experts);
  return ops.mul(mean, ops.constant({1}, {square}, site.routerElement()));
}

Parameter balanceLossParameter(std::string fallback, std::string doc, std::string source) {
  return {.name = "balance_loss",
          .type = ParameterType::Number,
          .fallback = std::move(fallback),
          .least = 0,
          .most = 1e6,
          .doc = "In training: the coefficient, in the loss, of " + std::move(doc) +
                 " The result of that name is the value without it, about 1 where all is even.",
          .source = std::move(source)};
}

bool checkChoices(Site& site, const Arguments& arguments, int64_t experts) {
  int64_t choices = arguments.integer("top_k");
  if (choices <= experts)
    return true;
  site.error(arguments.at("top_k"), fmt::format("\"top_k\" is {} of {} experts", choices, experts));
  return false;
}

} // namespace moec::models
