#pragma once
// Which launch and which buffer of one plan stands for which of another, when both come from one model and differ in what the schedule chose: packed
// weights, workspaces, one launch for a whole layer. Forward launches stand for each other in order, their buffers but the weights by position.

#include "runtime/core/Plan.h"

namespace moec {

/// Forward launches of both plans, one behind the other, that stand for each other: one of each; or one of kind `moe_layer` and those of its layer's gate
/// and experts.
struct LaunchMatch {
  size_t firstA = 0, countA = 1, firstB = 0, countB = 1;
};

struct PlanMatch {
  bool same = false;                 // one plan: index for index, prepare launches too
  std::vector<int> buffers;          // by A's buffer: B's; -1: A's alone (weights in another form, workspaces, what a layer's parts hand to each other)
  std::vector<LaunchMatch> launches; // all forward launches, in order

  /// The launches among which A's launch of this index is.
  const LaunchMatch& of(size_t launchOfA) const;
};

/// Error(Usage) that says which launches, inputs or outputs do not stand for each other.
PlanMatch matchPlans(const Plan& a, const Plan& b);

} // namespace moec
