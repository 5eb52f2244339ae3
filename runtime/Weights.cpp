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
  case DType::F64: return search(tensor.as<double>(), [](double v) { return v; });
  case DType::F32: return search(tensor.as<float>(), [](float v) { return v; });
  case DType::BF16: return search(tensor.as<uint16_t>(), bf16ToFloat);
  default: return -1;
  }
}

} // namespace

void checkWeights(const Plan& plan, const TensorMap& weights, bool allowNonFinite) {
  std::vector<std::string> names, problems;
  for (const ParameterInfo& parameter : plan.parameters) {
    names.push_back(parameter.name);
    auto found = weights.find(parameter.name);
    if (found == weights.end()) {
      problems.push_back(fmt::format("'{}' is missing ({})", parameter.name, describe(parameter.dtype, parameter.shape)));
      continue;
    }
    const Tensor& tensor = found->second;
    if (tensor.dtype() != parameter.dtype || tensor.shape() != parameter.shape) {
      problems.push_back(fmt::format("'{}' is {}, expected {}", parameter.name, describe(tensor), describe(parameter.dtype, parameter.shape)));
      continue;
    }
    if (int64_t at = allowNonFinite ? -1 : firstNonFinite(tensor); at >= 0)
      problems.push_back(fmt::format("'{}' has a value that is not finite, at element {}", parameter.name, at));
  }
  for (const auto& [name, tensor] : weights)
    if (std::find(names.begin(), names.end(), name) == names.end())
      problems.push_back(fmt::format("'{}' is no parameter of this program{}", name, didYouMean(name, names)));
  if (problems.empty())
    return;
  std::string message = fmt::format("weights: {} problem{}:", problems.size(), problems.size() == 1 ? "" : "s");
  for (const std::string& problem : problems)
    message += "\n  " + problem;
  throw Error(Fault::Data, message);
}

} // namespace moec
