#pragma once
// What gates of FastMoE's GShard share: two choices, a capacity, random routing, a loss.

#include "models/Site.h"

namespace moec::models {

/// How many rows an expert takes, of each of `groups` runs of tokens; and the workers that have a loss each.
struct GShardRooms {
  Size capacity, groups = 1, workers = 1;
};
std::optional<GateResult> gshardResult(Site& site, const Arguments& arguments, mlir::Value tokens, int64_t experts, const GShardRooms& rooms);
std::vector<Parameter> gshardParameters(std::string workersDoc);

} // namespace moec::models
