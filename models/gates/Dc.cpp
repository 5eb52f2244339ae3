#include "models/gates/GShardGate.h"
#include "models/gates/Gates.h"
#include "models/gates/Workers.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  Size count = ir::sizesOf(tokens)[0];
  std::optional<int64_t> workers = workersOf(site, arguments, count, experts);
  if (!workers)
    return std::nullopt;
  double rate = arguments.numberByMode("capacity");
  Size::Real share;
  share.factors.push_back({.number = rate, .size = {}, .op = '*'});
  share.factors.push_back({.number = {}, .size = Size::floorDiv(count, *workers), .op = '*'});
  Size capacity = Size::ceil(share);
  if (rate == 0) { // another rate leaves a place at least
    site.error(arguments.at("capacity"), "a capacity rate of 0 leaves no place in any expert: all would be dropped");
    return std::nullopt;
  }
  return gshardResult(site, arguments, tokens, experts, {capacity, 1, *workers});
}

} // namespace

const Kind& dcGate() {
  static const Kind kind{
      .name = "dc",
      .family = Family::Gate,
      .doc = "As gshard, but each expert has one capacity for the tokens of all workers, and it is not divided by the "
             "experts: "
             "ceil(rate * T / W) rows, of the first worker's tokens before the second's. So nobody is dropped where "
             "there is "
             "one worker and the rate is at least 1. FastMoE's atomics leave open which worker is cut; here it is the "
             "last. "
             "Weight and bias begin as PyTorch's Linear.",
      .source = "fastmoe ee3c561 (DCGate)",
      .parameters = gshardParameters("An expert takes what one worker's tokens, times the rate, are."),
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
