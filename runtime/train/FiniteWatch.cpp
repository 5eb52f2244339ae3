#include "runtime/train/FiniteWatch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace moec::train {
namespace {

template <class T> NonFinite look(const T* values, int64_t elements) {
  NonFinite found;
  for (int64_t i = 0; i < elements; ++i) {
    auto value = static_cast<double>(values[i]);
    if (std::isfinite(value))
      continue;
    bool bad = std::isnan(value) || value > 0;
    if (found.count++ == 0 || (bad && !found.nanOrInf))
      found.first = i;
    found.nanOrInf = found.nanOrInf || bad;
  }
  return found;
}

std::vector<int64_t> place(int64_t element, const Shape& shape) {
  std::vector<int64_t> indices(shape.size());
  for (size_t axis = shape.size(); axis-- > 0; element /= shape[axis])
    indices[axis] = element % shape[axis];
  return indices;
}

/// Leading elements of a buffer that have values: all, or the rows that a routing kept.
int64_t validElements(const Executable& executable, const BufferInfo& info, const Tensor& tensor) {
  if (!info.raggedBy || tensor.shape().empty() || tensor.shape()[0] == 0)
    return tensor.elements();
  const BufferInfo& routing = executable.plan().buffers[static_cast<size_t>(*info.raggedBy)];
  int64_t kept = executable.read(*info.raggedBy).as<int32_t>()[static_cast<size_t>(routing.experts)];
  return tensor.elements() / tensor.shape()[0] * std::clamp<int64_t>(kept, 0, tensor.shape()[0]);
}

} // namespace

std::string nameOfNonFinite(double value) { return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf"; }

std::optional<NonFinite> findNonFinite(const Tensor& tensor, int64_t elements) {
  if (!isFloat(tensor.dtype()))
    return {};
  if (elements < 0)
    elements = tensor.elements();
  NonFinite found;
  std::vector<double> values;
  if (tensor.dtype() == DType::F32)
    found = look(tensor.as<float>().data(), elements);
  else
    found = look((values = tensor.toDoubles()).data(), elements);
  if (found.count == 0)
    return {};
  std::string value =
      nameOfNonFinite(tensor.dtype() == DType::F32 ? tensor.as<float>()[static_cast<size_t>(found.first)] : values[static_cast<size_t>(found.first)]);
  found.text = tensor.elements() == 1 ? "it is " + value
                                      : fmt::format("{} of {} elements are not finite; the first, at [{}], is {}", found.count, elements,
                                                    fmt::join(place(found.first, tensor.shape()), ", "), value);
  return found;
}

void FiniteWatch::operator()(LaunchList list, size_t index) {
  if (worse_)
    return;
  const Plan& plan = executable_.plan();
  const LaunchInfo& launch = plan.launches(list)[index];
  for (int output : launch.outputs) {
    const BufferInfo& info = plan.buffers[static_cast<size_t>(output)];
    if (!isFloat(info.dtype))
      continue;
    Tensor tensor = executable_.read(output);
    auto problem = findNonFinite(tensor, validElements(executable_, info, tensor));
    if (!problem || (!problem->nanOrInf && negative_))
      continue;
    auto& first = problem->nanOrInf ? worse_ : negative_;
    first = fmt::format("launch {} of {} of {}, '{}' ({}: {}): of its result '{}', {}, {}", index + 1, plan.launches(list).size(), name(list), launch.label,
                        launch.kind, fmt::join(launch.ops, ", "), info.name, moec::describe(tensor), problem->text);
    if (worse_)
      return;
  }
}

} // namespace moec::train
