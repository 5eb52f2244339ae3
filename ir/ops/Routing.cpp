#include "ir/ops/Infer.h"

using namespace mlir;

namespace moec::ir {

static LogicalResult checkMatrix(OptionalLocation location, StringRef constraint, StringRef name, const Shaped& x) {
  if (x.rank() == 2)
    return success();
  return emitOptionalError(location, constraint, ": ", name, " has 2 dimensions: it has ", x.rank());
}

static LogicalResult checkRows(OptionalLocation location, StringRef constraint, const Shaped& rows, RoutingType routing) {
  if (rows.sizes[0] == rowsOf(routing))
    return success();
  return emitOptionalError(location, constraint, ": rows has as many rows as the routing: that has ", rowsOf(routing).str(), ", rows has ",
                           rows.sizes[0].str());
}

static LogicalResult checkExperts(OptionalLocation location, StringRef constraint, StringRef name, const Shaped& x, RoutingType routing) {
  if (x.sizes[0] == Size(routing.getExperts()))
    return success();
  return emitOptionalError(location, constraint, ": ", name, " has one entry per expert: the routing has ", routing.getExperts(), " experts, ", name, " has ",
                           x.sizes[0].str());
}

MOEC_INFER(SelectOp) {
  FailureOr<Shaped> scores = shaped(location, adaptor.getScores());
  if (failed(scores))
    return failure();
  if (!scores->isFloat() || scores->rank() != 2)
    return emitOptionalError(location, "select C1: scores is f64, f32 or bf16 of 2 dimensions: it is ", dtypeName(scores->element), scores->text());
  int64_t k = static_cast<int64_t>(adaptor.getK());
  std::optional<int64_t> experts = scores->last().constant();
  if (!experts || k < 1 || k > *experts)
    return emitOptionalError(location, "select C2: k lies in 1 .. E, the constant last dimension of scores: k is ", k, ", E is ", scores->last().str());
  types.push_back(tensorOf({scores->sizes[0], k}, scores->element));
  types.push_back(tensorOf({scores->sizes[0], k}, IntegerType::get(context, 32)));
  return success();
}

MOEC_INFER(AssignOp) {
  FailureOr<Shaped> indices = shaped(location, adaptor.getIndices());
  if (failed(indices))
    return failure();
  if (!indices->element.isSignlessInteger(32) || indices->rank() != 2 || !indices->last().isConstant() || *indices->last().constant() < 1)
    return emitOptionalError(location, "assign C1: indices is i32 of 2 dimensions, the last a constant: it is ", dtypeName(indices->element), indices->text());
  int64_t experts = static_cast<int64_t>(adaptor.getExperts());
  if (experts < 1)
    return emitOptionalError(location, "assign C2: experts is at least 1: it is ", experts);
  if (auto capacity = adaptor.getCapacity(); capacity && !isCanonicalSize(*capacity))
    return emitOptionalError(location, "assign C3: capacity is a canonical size text: it is \"", *capacity, "\"");
  if (adaptor.getKeep()) {
    FailureOr<Shaped> keep = shaped(location, adaptor.getKeep());
    if (failed(keep))
      return failure();
    if (!keep->element.isSignlessInteger(1) || keep->sizes != indices->sizes)
      return emitOptionalError(location, "assign C4: keep is bool of indices' shape: indices has ", indices->text(), ", keep is ", dtypeName(keep->element),
                               keep->text());
  }
  if (auto groups = adaptor.getGroups(); groups && !isCanonicalSize(*groups))
    return emitOptionalError(location, "assign C5: groups is a canonical size text: it is \"", *groups, "\"");
  Size grouped = indices->sizes[0]; // the tokens that the groups divide
  if (adaptor.getWithin()) {
    FailureOr<RoutingType> outer = routingOf(location, adaptor.getWithin());
    if (failed(outer))
      return failure();
    if (indices->sizes[0] != rowsOf(*outer) || experts % outer->getExperts() != 0)
      return emitOptionalError(location,
                               "assign C6: indices has an entry for every row of within, whose experts divide experts: "
                               "within has ",
                               rowsOf(*outer).str(), " rows and ", outer->getExperts(), " experts, indices has ", indices->sizes[0].str(), ", experts is ",
                               experts);
    grouped = tokensOf(*outer);
  }
  Size groups = adaptor.getGroups() ? Size::parse(*adaptor.getGroups()) : Size(1);
  if (auto g = groups.constant(); g && (*g < 1 || (grouped.isConstant() && *grouped.constant() % *g != 0)))
    return emitOptionalError(location, "assign C8: groups is at least 1 and divides the tokens: there are ", grouped.str(), " tokens and ", *g, " groups");
  StringAttr bound;
  if (adaptor.getBounded()) {
    if (!adaptor.getCapacity())
      return emitOptionalError(location, "assign C7: what is bounded has a capacity: there is none");
    Size most = Size(experts) * groups * Size::max(0, Size::parse(*adaptor.getCapacity()));
    bound = StringAttr::get(context, Size::min(indices->sizes[0] * indices->last(), most).str());
  }
  types.push_back(RoutingType::get(context, experts, StringAttr::get(context, indices->sizes[0].str()), *indices->last().constant(), bound));
  return success();
}

MOEC_INFER(DropOp) {
  FailureOr<RoutingType> routing = routingOf(location, adaptor.getRouting());
  FailureOr<Shaped> keep = shaped(location, adaptor.getKeep());
  if (failed(routing) || failed(keep))
    return failure();
  Sizes expected{tokensOf(*routing), routing->getChoices()};
  if (!keep->element.isSignlessInteger(1) || keep->sizes != expected)
    return emitOptionalError(location, "drop C1: keep is bool of tokens by choices: the routing has ", describe(expected), ", keep is ",
                             dtypeName(keep->element), keep->text());
  types.push_back(*routing);
  return success();
}

MOEC_INFER(ExpertsOfOp) {
  FailureOr<RoutingType> routing = routingOf(location, adaptor.getRouting());
  if (failed(routing))
    return failure();
  int64_t from = static_cast<int64_t>(adaptor.getFrom()), count = static_cast<int64_t>(adaptor.getCount());
  if (from < 0 || count < 1 || count > routing->getExperts() || from > routing->getExperts() - count)
    return emitOptionalError(location, "experts_of C1: from .. from + count lies in 0 .. E: from is ", from, ", count is ", count, ", E is ",
                             routing->getExperts());
  types.push_back(RoutingType::get(context, count, routing->getTokens(), routing->getChoices(), routing->getBound()));
  return success();
}

MOEC_INFER(ExpertCountsOp) {
  FailureOr<RoutingType> routing = routingOf(location, adaptor.getRouting());
  if (failed(routing))
    return failure();
  types.push_back(tensorOf({Size(routing->getExperts())}, IntegerType::get(context, 32)));
  return success();
}

MOEC_INFER(DispatchOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX());
  FailureOr<RoutingType> routing = routingOf(location, adaptor.getRouting());
  if (failed(x) || failed(routing) || failed(checkMatrix(location, "dispatch C1", "x", *x)))
    return failure();
  if (x->sizes[0] != tokensOf(*routing))
    return emitOptionalError(location, "dispatch C2: x has one row per token: the routing has ", tokensOf(*routing).str(), " tokens, x has ", x->sizes[0].str(),
                             " rows");
  types.push_back(tensorOf({rowsOf(*routing), x->last()}, x->element));
  return success();
}

MOEC_INFER(GroupedMatmulOp) {
  FailureOr<Shaped> rows = shaped(location, adaptor.getRows()), w = shaped(location, adaptor.getW());
  FailureOr<RoutingType> routing = routingOf(location, adaptor.getRouting());
  if (failed(rows) || failed(w) || failed(routing) || failed(sameElement(location, "grouped_matmul C1", "rows", *rows, "w", *w)))
    return failure();
  if (!rows->isFloat())
    return emitOptionalError(location, "grouped_matmul C2: rows is f64, f32 or bf16: it is ", dtypeName(rows->element));
  if (rows->rank() != 2 || w->rank() != 3)
    return emitOptionalError(location, "grouped_matmul C3: rows has 2 dimensions and w has 3: they have ", rows->rank(), " and ", w->rank());
  if (failed(checkRows(location, "grouped_matmul C4", *rows, *routing)) || failed(checkExperts(location, "grouped_matmul C5", "w", *w, *routing)))
    return failure();
  if (rows->last() != w->last())
    return emitOptionalError(location, "grouped_matmul C6: the last dimensions of rows and w agree: rows has ", rows->last().str(), ", w has ",
                             w->last().str());
  types.push_back(tensorOf({rows->sizes[0], w->sizes[1]}, rows->element));
  return success();
}

MOEC_INFER(ExpertRowsOp) {
  FailureOr<Shaped> table = shaped(location, adaptor.getTable());
  FailureOr<RoutingType> routing = routingOf(location, adaptor.getRouting());
  if (failed(table) || failed(routing) || failed(checkMatrix(location, "expert_rows C1", "table", *table)) ||
      failed(checkExperts(location, "expert_rows C2", "table", *table, *routing)))
    return failure();
  types.push_back(tensorOf({rowsOf(*routing), table->last()}, table->element));
  return success();
}

MOEC_INFER(RowWeightsOp) {
  FailureOr<Shaped> weights = shaped(location, adaptor.getWeights());
  FailureOr<RoutingType> routing = routingOf(location, adaptor.getRouting());
  if (failed(weights) || failed(routing))
    return failure();
  Sizes expected{tokensOf(*routing), routing->getChoices()};
  if (!weights->isFloat() || weights->sizes != expected)
    return emitOptionalError(location, "row_weights C1: weights is f64, f32 or bf16, tokens by choices: the routing has ", describe(expected), ", weights is ",
                             dtypeName(weights->element), weights->text());
  types.push_back(tensorOf({rowsOf(*routing), Size(1)}, weights->element));
  return success();
}

MOEC_INFER(SelectGradOp) {
  FailureOr<Shaped> dy = shaped(location, adaptor.getDy()), indices = shaped(location, adaptor.getIndices());
  if (failed(dy) || failed(indices))
    return failure();
  if (!dy->isFloat() || dy->rank() != 2)
    return emitOptionalError(location, "select_grad C1: dy is f64, f32 or bf16 of 2 dimensions: it is ", dtypeName(dy->element), dy->text());
  if (!indices->element.isSignlessInteger(32) || indices->sizes != dy->sizes)
    return emitOptionalError(location, "select_grad C2: indices is i32 of dy's shape: dy is ", dy->text(), ", indices is ", dtypeName(indices->element),
                             indices->text());
  int64_t experts = static_cast<int64_t>(adaptor.getExperts());
  if (experts < 1)
    return emitOptionalError(location, "select_grad C3: experts is at least 1: it is ", experts);
  types.push_back(tensorOf({dy->sizes[0], Size(experts)}, dy->element));
  return success();
}

MOEC_INFER(ChoiceValuesOp) {
  FailureOr<Shaped> column = shaped(location, adaptor.getColumn());
  FailureOr<RoutingType> routing = routingOf(location, adaptor.getRouting());
  if (failed(column) || failed(routing))
    return failure();
  if (!column->isFloat() || column->sizes != Sizes{rowsOf(*routing), Size(1)})
    return emitOptionalError(location, "choice_values C1: column is f64, f32 or bf16, one number for each of the rows: the routing has ",
                             rowsOf(*routing).str(), " rows, column is ", dtypeName(column->element), column->text());
  types.push_back(tensorOf({tokensOf(*routing), Size(routing->getChoices())}, column->element));
  return success();
}

MOEC_INFER(ExpertSumsOp) {
  FailureOr<Shaped> rows = shaped(location, adaptor.getRows());
  FailureOr<RoutingType> routing = routingOf(location, adaptor.getRouting());
  if (failed(rows) || failed(routing) || failed(checkMatrix(location, "expert_sums C1", "rows", *rows)) ||
      failed(checkRows(location, "expert_sums C2", *rows, *routing)))
    return failure();
  if (!rows->isFloat())
    return emitOptionalError(location, "expert_sums C3: rows is f64, f32 or bf16: it is ", dtypeName(rows->element));
  types.push_back(tensorOf({Size(routing->getExperts()), rows->last()}, rows->element));
  return success();
}

MOEC_INFER(GroupedWeightGradOp) {
  FailureOr<Shaped> dy = shaped(location, adaptor.getDy()), rows = shaped(location, adaptor.getRows());
  FailureOr<RoutingType> routing = routingOf(location, adaptor.getRouting());
  if (failed(dy) || failed(rows) || failed(routing) || failed(sameElement(location, "grouped_weight_grad C1", "dy", *dy, "rows", *rows)))
    return failure();
  if (!rows->isFloat())
    return emitOptionalError(location, "grouped_weight_grad C2: rows is f64, f32 or bf16: it is ", dtypeName(rows->element));
  if (failed(checkMatrix(location, "grouped_weight_grad C3", "dy", *dy)) || failed(checkMatrix(location, "grouped_weight_grad C3", "rows", *rows)) ||
      failed(checkRows(location, "grouped_weight_grad C4", *dy, *routing)) || failed(checkRows(location, "grouped_weight_grad C4", *rows, *routing)))
    return failure();
  types.push_back(tensorOf({Size(routing->getExperts()), dy->last(), rows->last()}, rows->element));
  return success();
}

MOEC_INFER(CombineOp) {
  FailureOr<Shaped> rows = shaped(location, adaptor.getRows()), weights = shaped(location, adaptor.getWeights());
  FailureOr<RoutingType> routing = routingOf(location, adaptor.getRouting());
  if (failed(rows) || failed(weights) || failed(routing))
    return failure();
  if (!rows->isFloat() || (weights->element != rows->element && !(rows->element.isBF16() && weights->element.isF32())))
    return emitOptionalError(location,
                             "combine C1: rows and weights share one of f64, f32 and bf16, or rows are bf16 and weights f32: "
                             "rows is ",
                             dtypeName(rows->element), ", weights is ", dtypeName(weights->element));
  if (failed(checkMatrix(location, "combine C2", "rows", *rows)) || failed(checkRows(location, "combine C3", *rows, *routing)))
    return failure();
  Sizes expected{tokensOf(*routing), routing->getChoices()};
  if (weights->sizes != expected)
    return emitOptionalError(location, "combine C4: weights is tokens by choices: the routing has ", describe(expected), ", weights is ", weights->text());
  types.push_back(tensorOf({expected[0], rows->last()}, rows->element));
  return success();
}

} // namespace moec::ir
