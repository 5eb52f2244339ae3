#include "runtime/FiniteLogits.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <numeric>

namespace moec {

namespace {

// Names of a model's values have no dots: this is a gate's alone.
constexpr std::string_view kEnd = ".non_finite";

} // namespace

bool isNonFiniteCount(std::string_view name) { return name.ends_with(kEnd); }

void addNonFiniteLogits(std::map<std::string, double>& byGate, const TensorMap& results) {
  for (const auto& [name, value] : results) {
    if (!isNonFiniteCount(name))
      continue;
    std::vector<double> counts = value.toDoubles();
    if (double count = std::accumulate(counts.begin(), counts.end(), 0.0); count != 0)
      byGate[name.substr(0, name.size() - kEnd.size())] += count;
  }
}

std::map<std::string, double> nonFiniteLogits(const TensorMap& results) {
  std::map<std::string, double> byGate;
  addNonFiniteLogits(byGate, results);
  return byGate;
}

std::string describeNonFinite(const std::map<std::string, double>& byGate) {
  std::string text;
  for (const auto& [gate, count] : byGate) {
    bool isOne = count == 1;
    text += text.empty()
                ? fmt::format("{:.0f} router logit{} of gate '{}' {} no finite number{}", count, isOne ? "" : "s", gate, isOne ? "is" : "are", isOne ? "" : "s")
                : fmt::format(", and {:.0f} of gate '{}'", count, gate);
  }
  return text;
}

void checkLogits(const Plan& plan, const TensorMap& results, const std::string& when) {
  if (plan.nonFinite == NonFiniteLogits::Count)
    return;
  if (auto byGate = nonFiniteLogits(results); !byGate.empty())
    throw Error(Fault::Data, when + describeNonFinite(byGate));
}

} // namespace moec
