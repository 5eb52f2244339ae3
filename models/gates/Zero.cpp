#include "models/gates/Gates.h"

namespace moec::models {

namespace {

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  if (!checkChoices(site, arguments, experts))
    return std::nullopt;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  int64_t choices = arguments.integer("top_k");
  ir::Sizes shape{ir::sizesOf(tokens)[0], choices};
  // The best of one score is the first.
  mlir::Value first = ops.select(ops.constant({1, 1}, {0}, element), 1).indices;
  mlir::Value weight = ops.constant({1, 1}, {1.0 / static_cast<double>(choices)}, element);
  mlir::Value indices = site.chosen(ops.broadcast(first, shape), experts);
  return GateResult{ops.assign(indices, experts, ir::Priority::TokenMajor, std::nullopt), ops.broadcast(weight, shape)};
}

} // namespace

const Kind& zeroGate() {
  static const Kind kind{
      .name = "zero",
      .family = Family::Gate,
      .doc = "Every choice of every token is expert 0, weighted by 1 / K: it takes each token K times. The other "
             "experts have nothing to do. It has no parameters and learns nothing; FastMoE uses it to look at the rest "
             "of a layer. FastMoE returns its choices as one flat list, which its layer then takes for one choice per "
             "token; here they are (T, K).",
      .source = "fastmoe ee3c561 (ZeroGate)",
      .parameters = {{.name = "top_k", .fallback = "2", .most = 65536, .doc = "Choices per token (K)."}},
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
