#include "models/gates/Gates.h"

#include <fmt/format.h>

namespace moec::models {

mlir::Value routerLayer(Site& site, mlir::Value x, int64_t out, bool bias, const Inits& inits) {
  if (!x)
    return {};
  int64_t width = *ir::sizesOf(x).back().constant();
  mlir::Type element = site.routerElement();
  auto begin = [&](const Json* rule) { return initOf(rule, width, out, uniformFanIn(width)); };
  mlir::Value weight = site.parameter("weight", {out, width}, begin(inits.weight), element);
  mlir::Value y = site.ops().matmul(x, weight);
  return bias ? site.ops().add(y, site.parameter("bias", {out}, begin(inits.bias), element)) : y;
}

mlir::Value routerLogits(Site& site, mlir::Value tokens, int64_t experts, bool bias, const Inits& inits) {
  return site.width(tokens) ? routerLayer(site, site.ops().cast(tokens, site.routerElement()), experts, bias, inits) : mlir::Value();
}

mlir::Value sumOfColumns(Ops& ops, mlir::Value x) {
  ir::Sizes shape = ir::sizesOf(x);
  int64_t columns = *shape[1].constant();
  constexpr int64_t kFew = 16; // that are added within the gate's kernel
  if (columns > kFew)
    return ops.reshape(ops.reduce(ir::ReduceKind::Sum, x, 1), {shape[0], 1});
  mlir::Value sum = ops.slice(x, 1, 0, 1);
  for (int64_t i = 1; i < columns; ++i)
    sum = ops.add(sum, ops.slice(x, 1, i, 1));
  return sum;
}

mlir::Value sharesOf(Ops& ops, mlir::Value weights) {
  if (!weights)
    return {};
  return ops.div(weights, ops.reshape(ops.reduce(ir::ReduceKind::Sum, weights, 1), {ir::sizesOf(weights)[0], 1}));
}

Parameter choicesParameter(std::string fallback) { return {.name = "top_k", .fallback = std::move(fallback), .most = 65536, .doc = "Choices per token (K)."}; }

Parameter routerBiasParameter(std::string fallback) {
  return {.name = "bias", .type = ParameterType::Bool, .fallback = std::move(fallback), .doc = "A bias on the logits? (FastMoE: gate_bias)"};
}

Parameter routerInitParameter() { return initParameter("How the router's weight and bias begin."); }

bool checkChoices(Site& site, const Arguments& arguments, int64_t experts) {
  int64_t choices = arguments.integer("top_k");
  if (choices <= experts)
    return true;
  site.error(arguments.at("top_k"), fmt::format("\"top_k\" is {} of {} experts", choices, experts));
  return false;
}

} // namespace moec::models
