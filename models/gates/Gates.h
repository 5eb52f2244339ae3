#pragma once
// The kinds of gates, one file each, and what they share.

#include "models/Site.h"

namespace moec::models {

const Kind& gshardGate();
const Kind& topKGate();

/// Logits (T, E) of tokens (T, D): a linear layer with "weight" (E, D) and, with `bias`, "bias" (E), in the router's
/// dtype.
mlir::Value routerLogits(Site& site, mlir::Value tokens, int64_t experts, bool bias);
/// floor(ceil(rate * T) * K / E): FastMoE's capacity of one expert on one worker. Nothing after a report that it is 0,
/// where T is a number; otherwise a call may find that.
std::optional<Size> fastmoeCapacity(Site& site, Position position, double rate, const Size& tokens, int64_t choices,
                                    int64_t experts);
/// Are there K experts to choose? Reports when not.
bool checkChoices(Site& site, const Arguments& arguments, int64_t experts);

} // namespace moec::models
