#include "models/gates/Gates.h"

#include <fmt/format.h>

namespace moec::models {

namespace {

std::optional<GateResult> build(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts) {
  int64_t entries = arguments.integer("entries");
  mlir::Value ids = site.named(arguments, "ids");
  if (!ids)
    return std::nullopt;
  auto type = mlir::cast<mlir::RankedTensorType>(ids.getType());
  Size count = ir::sizesOf(tokens)[0];
  if (!type.getElementType().isSignlessInteger() || type.getElementType().isSignlessInteger(1) || !(ir::product(ir::sizesOf(ids)) == count)) {
    site.error(arguments.at("ids"), fmt::format("\"ids\" are integers, one for each of {} tokens, not {} {}", count.str(),
                                                name(ir::dtypeOf(type.getElementType())), ir::describe(ir::sizesOf(ids))));
    return std::nullopt;
  }
  if (!site.limitIds(ids, entries))
    return std::nullopt;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  Init anyExpert{Init::Kind::Uniform, 0, static_cast<double>(experts)};
  mlir::Value table = site.parameter("table", {entries, 1}, anyExpert, element);
  mlir::Value chosen = ops.embedding(ops.reshape(ids, {count}), table); // (T, 1)
  // A draw may be rounded up to E; a table of a user's may hold anything.
  chosen = ops.binary<ir::MinOp>(chosen, ops.constant({1}, {static_cast<double>(experts - 1)}, element));
  chosen = ops.binary<ir::MaxOp>(chosen, ops.constant({1}, {0}, element));
  mlir::Value indices = site.chosen(ops.cast(chosen, ops.element(DType::I32)), experts);
  return GateResult{ops.assign(indices, experts, ir::Priority::TokenMajor, std::nullopt), ops.broadcast(ops.constant({1, 1}, {1}, element), {count, 1})};
}

} // namespace

const Kind& hashGate() {
  static const Kind kind{
      .name = "hash",
      .family = Family::Gate,
      .doc = "The expert of a token's id, with weight 1: a table that does not learn says which, as a number from 0 to "
             "E - 1, without "
             "its fraction. It begins at random; the paper's balanced table, or any other, is loaded as the weight "
             "\"table\" "
             "(entries, 1). Nobody is dropped.",
      .source = "Roller et al. 2021 (arXiv 2106.04426)",
      .parameters =
          {
              {.name = "ids",
               .type = ParameterType::ValueName,
               .required = true,
               .doc = "The input whose ids choose: as many as there are tokens, in their order."},
              {.name = "entries", .required = true, .doc = "Ids lie in [0, entries)."},
          },
      .gate = build,
  };
  return kind;
}

} // namespace moec::models
