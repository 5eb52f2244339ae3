#pragma once
// Which launch and which buffer of one plan stands for which of another, when both come from one model and differ in what the schedule chose: packed
// weights, workspaces. Forward launches stand for each other in order, their buffers but the weights by position.

#include "runtime/core/Plan.h"

namespace moec {

struct PlanMatch {
  bool same = false;        // one plan: index for index, prepare launches too
  std::vector<int> buffers; // by A's buffer: B's; -1: A's alone (weights in another form, workspaces)
};

/// Error(Usage) that says which launches, inputs or outputs do not stand for each other.
PlanMatch matchPlans(const Plan& a, const Plan& b);

} // namespace moec
