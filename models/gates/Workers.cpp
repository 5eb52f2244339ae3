#include "models/gates/Workers.h"

#include <fmt/format.h>

namespace moec::models {

Parameter workersParameter(std::string doc, std::string source) {
  return {.name = "workers",
          .fallback = "1",
          .most = 4096,
          .doc = "Workers (W) that share the experts evenly: as many equal runs of tokens, one behind the other. " + std::move(doc),
          .source = std::move(source)};
}

std::optional<int64_t> workersOf(Site& site, const Arguments& arguments, const Size& tokens, int64_t experts) {
  int64_t workers = arguments.integer("workers");
  if (experts % workers != 0) {
    site.error(arguments.at("workers"), fmt::format("{} workers cannot share {} experts evenly", workers, experts));
    return std::nullopt;
  }
  if (workers > 1 && arguments.kind().find("per") && arguments.word("per") == "row") {
    site.error(arguments.at("workers"), "with per: row each row of the batch has a capacity of its own, and workers have none");
    return std::nullopt;
  }
  Size rest = tokens - Size(workers) * Size::floorDiv(tokens, Size(workers));
  if (!rest.isConstant())
    site.limitSize(rest, 0);
  else if (!(rest == Size(0))) {
    site.error(arguments.at("workers"), fmt::format("{} tokens are no {} equal runs", tokens.str(), workers));
    return std::nullopt;
  }
  return workers;
}

mlir::Value groupMeans(Ops& ops, mlir::Value x, const Size& groups, ir::ReduceKind kind) {
  if (!x)
    return {};
  ir::Sizes shape = ir::sizesOf(x);
  Size run = Size::floorDiv(shape[0], groups);
  if (groups * run == shape[0] || !groups.isConstant())
    return ops.reduce(kind, ops.reshape(x, {groups, run, shape[1]}), 1);
  // That the runs are all of the tokens, a call alone knows.
  std::vector<mlir::Value> means;
  for (int64_t group = 0; group < *groups.constant(); ++group) {
    mlir::Value part = ops.slice(x, 0, Size(group) * run, run);
    means.push_back(ops.reshape(ops.reduce(kind, part, 0), {1, shape[1]}));
  }
  return ops.concat(means, 0);
}

mlir::Value spreadToTokens(Ops& ops, mlir::Value x, const Size& tokens) {
  if (!x)
    return {};
  int64_t groups = *ir::sizesOf(x)[0].constant();
  Size run = Size::floorDiv(tokens, groups), rest = tokens - Size(groups) * run;
  if (rest == Size(0))
    return ops.reshape(ops.broadcast(x, {groups, run}), {tokens, 1});
  std::vector<mlir::Value> pieces;
  for (int64_t group = 0; group < groups; ++group)
    pieces.push_back(ops.broadcast(ops.slice(x, 0, group, 1), {run, 1}));
  pieces.push_back(ops.broadcast(ops.slice(x, 0, groups - 1, 1), {rest, 1})); // none: a call checks it
  return ops.concat(pieces, 0);
}

} // namespace moec::models
