#pragma once
// What gates chose, as results, where a routing is recorded: "choices" (T, K), in front of capacity and of what a gate
// drops for other reasons; and of what became of them "weights" and "kept". Knows no kind.

#include "models/Site.h"

namespace moec::models {

/// "choices" i32 (T, K). `within`: the tokens are this routing's rows; those behind its count are -1.
void addChoices(Site& site, mlir::Value indices, mlir::Value within);

/// "weights" (T, K), and "kept" bool (T, K): whether an expert took the choice. Of a dense gate the weights (T, E) alone. Of
/// a gate with an outer level both are of the parts "outer" and "inner"; what is behind the outer one's rows is 0.
void addWeightsAndDrops(Site& site, const GateResult& result);

} // namespace moec::models
