#pragma once
// Which launch and which buffer of one plan stands for which of another, when both come from one model and differ in what the schedule chose: packed
// weights, workspaces, one launch for a whole layer. Launches of a call stand for each other in order, their buffers but the weights by position; parameters
// and states by their names.

#include "runtime/core/Plan.h"

namespace moec {

/// Launches of both plans, one behind the other, that stand for each other: one of each; or one of kind `moe_layer` and those of its layer's gate and experts.
/// Before them, those that pack weights for them: each plan has its own.
struct LaunchMatch {
  size_t firstA = 0, countA = 1, firstB = 0, countB = 1;
  bool isLayer = false;
};

struct PlanMatch {
  bool same = false;                       // one plan: index for index, prepare launches too
  std::vector<int> buffers;                // by A's buffer: B's; -1: A's alone (weights in another form, workspaces, what a layer's parts hand to each other)
  std::vector<LaunchMatch> forward, apply; // all launches of a call, in order

  const std::vector<LaunchMatch>& launches(LaunchList list) const { return list == LaunchList::Apply ? apply : forward; }
  /// The launches among which A's launch of this index is.
  const LaunchMatch& of(LaunchList list, size_t launchOfA) const;
};

/// Error(Usage) that says which launches, inputs or outputs do not stand for each other.
PlanMatch matchPlans(const Plan& a, const Plan& b);

} // namespace moec
