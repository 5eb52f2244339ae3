#include "runtime/device/check/CheckReport.h"

#include "runtime/core/Error.h"
#include "runtime/core/Tolerance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace moec {

namespace {

/// Error in units of what is allowed.
double pastTolerance(const BufferCheck& check) {
  if (check.tolerance > 0)
    return check.worst / check.tolerance;
  return check.worst > 0 ? std::numeric_limits<double>::infinity() : 0;
}

/// `other`: the same result of B with numbers rounded otherwise.
void allow(double& tolerance, double other, double usual) {
  if (std::isfinite(other))
    tolerance = std::max(tolerance, std::min(roundingFactor * other, mostForRounding * usual));
}

} // namespace

const char* wordOf(ResultKind kind) { return kind == ResultKind::Output ? "output" : kind == ResultKind::Parameter ? "parameter" : "state"; }

bool CheckReport::passed() const {
  return std::all_of(launches.begin(), launches.end(), [](const LaunchCheck& check) { return check.passed; }) &&
         std::all_of(outputs.begin(), outputs.end(), [](const OutputCheck& check) { return check.passed; });
}

void LaunchCheck::judge() {
  passed = nans == 0 && std::all_of(buffers.begin(), buffers.end(), [](const BufferCheck& check) { return check.passed(); });
  auto found = std::max_element(buffers.begin(), buffers.end(), [](const BufferCheck& a, const BufferCheck& b) { return pastTolerance(a) < pastTolerance(b); });
  if (found == buffers.end())
    return;
  buffer = found->name;
  worst = found->worst;
  tolerance = found->tolerance;
}

void CheckReport::allowForRounding(const CheckReport& moved) {
  for (size_t i = 0; i < std::min(launches.size(), moved.launches.size()); ++i) {
    // By their places: outputs of one launch may have one name.
    std::vector<BufferCheck>& buffers = launches[i].buffers;
    const std::vector<BufferCheck>& others = moved.launches[i].buffers;
    for (size_t j = 0; j < std::min(buffers.size(), others.size()); ++j)
      if (buffers[j].name == others[j].name)
        allow(buffers[j].tolerance, others[j].worst, others[j].tolerance);
    launches[i].judge();
  }
  for (size_t i = 0; i < std::min(outputs.size(), moved.outputs.size()); ++i) {
    allow(outputs[i].tolerance, moved.outputs[i].worst, moved.outputs[i].tolerance);
    outputs[i].passed = outputs[i].worst <= outputs[i].tolerance;
  }
}

std::string CheckReport::describeFailures() const {
  std::string text;
  for (const LaunchCheck& check : launches) {
    std::string where = fmt::format("{} launch {}, {} ({})", name(check.list), check.index, check.label, check.kind);
    for (const BufferCheck& one : check.buffers)
      if (!one.passed())
        text += fmt::format("{}: buffer '{}' differs by {:.1e}, allowed {:.1e}\n", where, one.name, one.worst, one.tolerance);
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
