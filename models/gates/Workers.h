#pragma once
// Workers: equal runs of tokens, one behind the other, each with as many experts, in one process. What a gate counts
// per worker it counts per run.

#include "models/Site.h"

namespace moec::models {

Parameter workersParameter(std::string doc, std::string source);
/// The parameter "workers", which divides experts and tokens, and goes with no "per": row. Where a call decides how many
/// tokens there are, it is checked there. Nothing after a report.
std::optional<int64_t> workersOf(Site& site, const Arguments& arguments, const Size& tokens, int64_t experts);
/// x (T, n) as the means, or sums, of G equal runs of its rows: (G, n).
mlir::Value groupMeans(Ops& ops, mlir::Value x, const Size& groups, ir::ReduceKind kind = ir::ReduceKind::Mean);
/// The other way: each number of x (G, 1), G being a number, for all rows of its run: (T, 1).
mlir::Value spreadToTokens(Ops& ops, mlir::Value x, const Size& tokens);

} // namespace moec::models
