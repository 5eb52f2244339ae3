#pragma once
// How many rows an expert takes: every version of it that gates have, with the parameters that say it. Knows no gate.

#include "models/Site.h"

namespace moec::models {

/// What the rate of a capacity is of. T counts the tokens of what has a capacity of its own.
enum class CapacityForm {
  Whole,   // floor(ceil(rate * T) * K / E): FastMoE's GShardGate
  Share,   // rate * T / E, rounded as "rounding" says: Switch
  Bounded, // min(T, trunc(T * rate / E)): mixture-of-experts, st-moe-pytorch
  Even,    // ceil(T / E * (rate * K)): DeepSpeed
  Blocks,  // K * trunc(rate * ceil(T / E)): Tutel
};

struct CapacityRule {
  CapacityForm form = CapacityForm::Share;
  Size tokens;
  int64_t choices = 1, experts = 1;
};

/// What the arguments of a kind say: "capacity", and, where its table has them, "least_capacity", "rounding",
/// "expert_capacity" (a number in the rate's place) and "dropless". Sets `capacity`, or leaves it empty where nobody is
/// dropped. False after a report that it is 0, where T is a number; otherwise a call may find that.
bool findCapacity(Site& site, const Arguments& arguments, const CapacityRule& rule, std::optional<Size>& capacity);
/// FastMoE's capacity of one expert on one worker, CapacityForm::Whole of a rate. Nothing after a report that it is 0.
std::optional<Size> fastmoeCapacity(Site& site, Position position, double rate, const Size& tokens, int64_t choices, int64_t experts);

/// The parameters. `fallback` may be empty: then nobody is dropped unless a rate is given.
Parameter capacityParameter(std::string fallback, std::string doc, std::string source = {});
Parameter leastCapacityParameter(std::string fallback, double least, std::string doc, std::string source = {});
/// "per": what has a capacity of its own. And how many of them there are.
Parameter capacityPerParameter(std::string fallback, std::string source = {});
Size capacityGroups(const Site& site, const Arguments& arguments);

} // namespace moec::models
