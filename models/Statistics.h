#pragma once
// What gates chose, as results of @loss and @evaluate where statistics are asked for; and how many logits are no finite
// numbers, where that is. Knows no kind.

#include "models/Site.h"

namespace moec::models {

/// Of the gate at `site`. With a routing: "load", the choices that each expert took, and "dropped", those that none
/// took, for want of a place or by the gate's policy. Without one: "load", the sum of the weights of each expert. Of a
/// gate with a router "non_finite", how many of its logits are no finite numbers. Of a gate with an outer level these are
/// of the rows that came to a group, and "outer.load", "outer.dropped" and "outer.non_finite" of the groups.
void addStatistics(Site& site, const GateResult& result);

/// "load" from weights (.., experts), one row a token: their sums.
void addLoad(Site& site, mlir::Value weights);

} // namespace moec::models
