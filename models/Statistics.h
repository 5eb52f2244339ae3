#pragma once
// What gates chose, as results of @loss and @evaluate where statistics are asked for. Knows no kind.

#include "models/Site.h"

namespace moec::models {

/// Of the gate at `site`. With a routing: "load", the choices that each expert took, and "dropped", those that none
/// took, for want of a place or by the gate's policy. Without one: "load", the sum of the weights of each expert. Of
/// both "non_finite", how many weights are no finite numbers, as they are behind a logit that is none. Of a gate with an
/// outer level the choices are those of rows that came to a group, and "outer.load", "outer.dropped" and
/// "outer.non_finite", which it has alone, are of the groups.
void addStatistics(Site& site, const GateResult& result);

/// "load" from weights (.., experts), one row a token: their sums.
void addLoad(Site& site, mlir::Value weights);

} // namespace moec::models
