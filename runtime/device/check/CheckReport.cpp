#include "runtime/device/check/CheckReport.h"

#include "runtime/core/Error.h"
#include "runtime/core/Tolerance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace moec {

const char* wordOf(ResultKind kind) { return kind == ResultKind::Output ? "output" : kind == ResultKind::Parameter ? "parameter" : "state"; }

bool CheckReport::passed() const {
  return std::all_of(launches.begin(), launches.end(), [](const LaunchCheck& check) { return check.passed; }) &&
         std::all_of(outputs.begin(), outputs.end(), [](const OutputCheck& check) { return check.passed; });
}

void CheckReport::allowForRounding(const CheckReport& moved) {
  auto allow = [](auto& check, const auto& other) {
    if (std::isfinite(other.worst))
      check.tolerance = std::max(check.tolerance, std::min(roundingFactor * other.worst, mostForRounding * other.tolerance));
  };
  for (size_t i = 0; i < std::min(launches.size(), moved.launches.size()); ++i)
    if (LaunchCheck& check = launches[i]; check.buffer == moved.launches[i].buffer) {
      allow(check, moved.launches[i]);
      check.passed = check.worst <= check.tolerance && check.nans == 0;
    }
  for (size_t i = 0; i < std::min(outputs.size(), moved.outputs.size()); ++i) {
    allow(outputs[i], moved.outputs[i]);
    outputs[i].passed = outputs[i].worst <= outputs[i].tolerance;
  }
}

std::string CheckReport::describeFailures() const {
  std::string text;
  for (const LaunchCheck& check : launches) {
    std::string where = fmt::format("{} launch {}, {} ({})", name(check.list), check.index, check.label, check.kind);
    if (check.worst > check.tolerance)
      text += fmt::format("{}: buffer '{}' differs by {:.1e}, allowed {:.1e}\n", where, check.buffer, check.worst, check.tolerance);
    if (check.nans > 0)
      text += fmt::format("{}: buffer '{}' is NaN on both devices at {} elements, and no input is: nothing is compared there\n", where, check.nanBuffer,
                          check.nans);
  }
  for (const OutputCheck& check : outputs)
    if (!check.passed)
      text += fmt::format("{} '{}' differs by {:.1e}, allowed {:.1e}\n", wordOf(check.kind), check.name, check.worst, check.tolerance);
  return text;
}

double relativeError(const Tensor& a, const Tensor& b, int64_t elements) {
  if (a.dtype() != b.dtype() || a.elements() != b.elements())
    throw Error(Fault::Internal, fmt::format("{} is compared with {}", describe(a), describe(b)));
  std::vector<double> x = a.toDoubles(), y = b.toDoubles();
  size_t count = elements < 0 ? x.size() : std::min(x.size(), static_cast<size_t>(elements));
  double difference = 0, largest = 0;
  for (size_t i = 0; i < count; ++i) {
    if (std::isfinite(y[i]))
      largest = std::max(largest, std::abs(y[i]));
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i])))
      continue;
    if (!std::isfinite(x[i]) || !std::isfinite(y[i]))
      return std::numeric_limits<double>::infinity();
    difference = std::max(difference, std::abs(x[i] - y[i]));
  }
  return difference == 0 ? 0 : difference / largest;
}

int64_t countNans(const Tensor& tensor, int64_t elements) {
  if (!isFloat(tensor.dtype()))
    return 0;
  std::vector<double> values = tensor.toDoubles();
  auto end = elements < 0 ? values.end() : values.begin() + std::min(static_cast<std::ptrdiff_t>(elements), std::ssize(values));
  return std::count_if(values.begin(), end, [](double value) { return std::isnan(value); });
}

} // namespace moec
