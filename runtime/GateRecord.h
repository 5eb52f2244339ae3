#pragma once
// What a gate did in a call of a program that was compiled with CompileOptions::record: its results, and their names.

#include "runtime/core/Tensor.h"

#include <string>
#include <string_view>
#include <vector>

namespace moec {

struct GateRecord {
  std::string gate; // its path in the model: "layers.0.moe.gate"
  Tensor choices;   // i32 (T, K): experts, in front of capacity; -1 for none. Not defined for a gate that sends every token to every expert
  Tensor weights;   // (T, K); of such a gate (T, E)
  Tensor kept;      // bool (T, K): whether an expert took the choice. Not defined for such a gate
};

/// Is it the name of a gate's choices, among the results or the inputs of a program?
bool isChoices(std::string_view name);
/// Or of anything that a gate's record holds?
bool isRecord(std::string_view name);
/// The gates' records among a call's results, in the order of `names`.
std::vector<GateRecord> gateRecords(const TensorMap& results, const std::vector<std::string>& names);

} // namespace moec
