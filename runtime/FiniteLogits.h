#pragma once
// How many of a gate's logits were no finite numbers in a call: the results "<gate>.non_finite". Knows no gate.

#include "runtime/core/Plan.h"
#include "runtime/core/Tensor.h"

#include <map>
#include <string>
#include <string_view>

namespace moec {

/// By gate, where it is not 0. The second adds those of another call.
std::map<std::string, double> nonFiniteLogits(const TensorMap& results);
void addNonFiniteLogits(std::map<std::string, double>& byGate, const TensorMap& results);
/// "2 router logits of gate 'layers.0.moe.gate' are no finite numbers, and 1 of gate ..".
std::string describeNonFinite(const std::map<std::string, double>& byGate);
/// Is it the name of such a result?
bool isNonFiniteCount(std::string_view name);
/// Error(Data) that says so, behind `when` ("step 7: "), where the plan has it that they end a call.
void checkLogits(const Plan& plan, const TensorMap& results, const std::string& when = "");

} // namespace moec
