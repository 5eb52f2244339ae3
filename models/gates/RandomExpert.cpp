#include "models/gates/Gates.h"

namespace moec::models {

namespace {

std::optional<GateResult> build(Site& site, const Arguments&, mlir::Value tokens, int64_t experts) {
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  ir::Sizes column{ir::sizesOf(tokens)[0], 1};
  mlir::Value indices = site.replayed(column[0], 1, experts);
  if (!indices) {
    // The largest of E equal draws is each expert's with the same probability.
    mlir::Value draws = ops.random(ir::Distribution::Uniform, site.part("expert").path(), {1, experts}, element);
    indices = ops.broadcast(ops.select(draws, 1).indices, column);
  }
  site.record(indices);
  return GateResult{ops.assign(indices, experts, ir::Priority::TokenMajor, std::nullopt), ops.broadcast(ops.constant({1, 1}, {1}, element), column)};
}

} // namespace

const Kind& randomExpertGate() {
  static const Kind kind{
      .name = "random_expert",
      .family = Family::Gate,
      .doc = "One expert for all tokens of a call, with weight 1: the one with the largest of E uniform draws, called "
             "\"expert\". It draws in inference too: the same seed and step give the same expert.",
      .source = "moec",
      .parameters = {},
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
