#pragma once
// Who enters an expert first where not all can.

#include "models/Site.h"

namespace moec::models {

/// The parameter "priority" of a gate with a capacity, of these of its words: token_major, choice_major, score, batch.
Parameter priorityParameter(std::vector<std::string> words);
/// The routing of indices (T, K) with the rule's capacity, by the word of the parameter; weights (T, K) are what scores
/// are. The rule's priority is the word's.
mlir::Value assignByPriority(Site& site, const Arguments& arguments, mlir::Value indices, mlir::Value weights, Ops::Assignment rule);

} // namespace moec::models
