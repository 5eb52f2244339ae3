#include "runtime/Weights.h"

#include "runtime/core/BFloat16.h"
#include "runtime/core/Error.h"
#include "runtime/core/NearestName.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moec {
namespace {

/// Index of the first element that is no finite number, or -1.
int64_t firstNonFinite(const Tensor& tensor) {
  auto search = [](auto values, auto widen) -> int64_t {
    auto found = std::find_if(values.begin(), values.end(), [&](auto value) { return !std::isfinite(widen(value)); });
    return found == values.end() ? -1 : found - values.begin();
  };
  switch (tensor.dtype()) {
  case DType::F64:
    return search(tensor.as<double>(), [](double v) { return v; });
  case DType::F32:
    return search(tensor.as<float>(), [](float v) { return v; });
  case DType::BF16:
    return search(tensor.as<uint16_t>(), bf16ToFloat);
  default:
    return -1;
  }
}

/// "weights: 2 problems:" and a line for each; nothing where there are none. `widens`: bf16 may stand for f32. `what`: "weights" holds a "parameter" of the
/// program.
template <class Info>
std::string problemsOf(const std::vector<Info>& infos, const TensorMap& tensors, bool allowNonFinite, bool widens, const char* what, const char* one,
                       const std::function<void(const Tensor&)>& behindEach = {}) {
  std::vector<std::string> names, problems;
  for (const Info& info : infos) {
    names.push_back(info.name);
    auto found = tensors.find(info.name);
    if (found == tensors.end()) {
      problems.push_back(fmt::format("'{}' is missing ({})", info.name, describe(info.dtype, info.shape)));
      continue;
    }
    const Tensor& tensor = found->second;
    bool fits = tensor.dtype() == info.dtype || (widens && tensor.dtype() == DType::BF16 && info.dtype == DType::F32);
    if (!fits || tensor.shape() != info.shape) {
      problems.push_back(fmt::format("'{}' is {}, expected {}", info.name, describe(tensor), describe(info.dtype, info.shape)));
      continue;
    }
    if (int64_t at = allowNonFinite ? -1 : firstNonFinite(tensor); at >= 0)
      problems.push_back(fmt::format("'{}' has a value that is not finite, at element {}", info.name, at));
    if (behindEach)
      behindEach(tensor);
  }
  for (const auto& [name, tensor] : tensors)
    if (std::find(names.begin(), names.end(), name) == names.end())
      problems.push_back(fmt::format("'{}' is no {} of this program{}", name, one, didYouMean(name, names)));
  if (problems.empty())
    return {};
  std::string message = fmt::format("{}: {} problem{}:", what, problems.size(), problems.size() == 1 ? "" : "s");
  for (const std::string& problem : problems)
    message += "\n  " + problem;
  return message;
}

} // namespace

void checkWeights(const Plan& plan, const TensorMap& weights, bool allowNonFinite, const std::function<void(const Tensor&)>& behindEach) {
  if (std::string problems = problemsOf(plan.parameters, weights, allowNonFinite, !plan.weightsAs.empty(), "weights", "parameter", behindEach);
      !problems.empty())
    throw Error(Fault::Data, problems);
}

Tensor asParameter(const ParameterInfo& parameter, const Tensor& weight) { return weight.dtype() == parameter.dtype ? weight : weight.cast(parameter.dtype); }

void checkWeightsAndState(const Plan& plan, const TensorMap& weights, const TensorMap& state) {
  std::string ofWeights = problemsOf(plan.parameters, weights, true, false, "weights", "parameter"),
              ofState = problemsOf(plan.states, state, true, false, "state", "state");
  if (!ofWeights.empty() || !ofState.empty())
    throw Error(Fault::Data, ofWeights + (ofWeights.empty() || ofState.empty() ? "" : "\n") + ofState);
}

} // namespace moec
