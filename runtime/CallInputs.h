#pragma once
// The check of what a caller hands to a program.

#include "runtime/core/Plan.h"
#include "runtime/core/Tensor.h"

namespace moec {

/// Values of the symbols for these inputs of a Forward call. Inputs that only the loss needs, and the plan does not, may be left out. Error(Usage) for a
/// missing or unknown input, another dtype, rank or size, a size of zero, one name with two sizes, elements out of range.
Bindings bindInputs(const Plan& plan, const TensorMap& inputs);

/// Whether a training gives this input itself.
bool isTrainingInput(std::string_view name);
/// The inputs of a list that a training gives itself, of those that the plan has. `step`: 1 at the first.
TensorMap trainingInputs(const Plan& plan, LaunchList list, double learningRate, int64_t step, int64_t count);

} // namespace moec
