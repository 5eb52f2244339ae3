#pragma once
// Parameters of a plan as tensors by name: checking those that come from outside, drawing those that begin a training.

#include "runtime/core/Plan.h"
#include "runtime/core/Tensor.h"

#include <functional>

namespace moec {

/// Error(Data) that lists every name that is missing, unknown (with the nearest name), has another shape or dtype, or a non-finite value
/// unless allowed. `behindEach` is called with each weight that was looked at. In a plan that converts weights, bf16 may stand for f32.
void checkWeights(const Plan& plan, const TensorMap& weights, bool allowNonFinite, const std::function<void(const Tensor&)>& behindEach = {});
/// A weight that checkWeights let pass, in the parameter's dtype: bf16 widens, which is exact.
Tensor asParameter(const ParameterInfo& parameter, const Tensor& weight);
/// The same of a training's weights and states together, but for values that are not finite: what a training has made is taken up as it is.
void checkWeightsAndState(const Plan& plan, const TensorMap& weights, const TensorMap& state);

/// Elements that initialWeight() draws at once: so many doubles stand beside the weight.
int64_t drawnAtOnce(const ParameterInfo& parameter);
/// A parameter by its init rule: the same bits on every machine.
Tensor initialWeight(const ParameterInfo& parameter, uint64_t seed);
/// All parameters of a plan. One does not depend on the others.
TensorMap initialWeights(const Plan& plan, uint64_t seed);
/// A state at the beginning of a training: by its init rule, or the parameter it begins with, which is drawn when `weights` lacks it.
Tensor initialState(const Plan& plan, const StateInfo& state, const TensorMap& weights, uint64_t seed);
/// Is it one of the gradients that add up over calls? Between steps they are zeros.
bool isGradient(const Plan& plan, const StateInfo& state);

} // namespace moec
