#include "tests/routing/Status.h"

#include <fmt/format.h>

namespace moec::test {

namespace {

constexpr int kDTypes = 2;

std::string cell(const RoutingOutcomes& outcomes, const RoutingRow& row, const std::string& device) {
  auto of = outcomes.find(row.name);
  if (of == outcomes.end() || !of->second.contains(device))
    return "not run";
  const RoutingOutcome& outcome = of->second.at(device);
  return outcome.passed == outcome.cases
             ? "agrees"
             : fmt::format("**{} of {} differ**", outcome.cases - outcome.passed, outcome.cases);
}

} // namespace

std::string statusText(const std::vector<RoutingRow>& rows, const RoutingOutcomes& outcomes) {
  std::string text =
      "# Routing: what agrees with what\n\n"
      "Written by `write_routing_status` from a run of every file of tests/goldens/routing: each line is one gate with "
      "its parameters, run in inference and in\n"
      "training, in f32 and f64. Indices and drops are the original's exactly; values within 1e-5 and 1e-12, gradients "
      "within 1e-5 and 1e-10. Where an original computes in "
      "f32\nwhatever the model's dtype, \"f32 in part\", f64 is held to the limit that the manifest has.\n\n"
      "| Kind | File | Original | Cases | Reference | CPU | Emulator (sm_90a) |\n|---|---|---|---|---|---|---|\n";
  for (const RoutingRow& row : rows) {
    text += fmt::format("| `{}` | {} | {} {}{} | {} |", row.kind, row.name, row.origin, row.version,
                        row.inexact.empty() ? "" : " (f32 in part)", kDTypes * row.cases.size());
    for (const char* device : kRoutingDevices)
      text += fmt::format(" {} |", cell(outcomes, row, device));
    text += "\n";
  }
  return text;
}

RoutingOutcomes allPassed(const std::vector<RoutingRow>& rows) {
  RoutingOutcomes outcomes;
  for (const RoutingRow& row : rows)
    for (const char* device : kRoutingDevices) {
      int cases = kDTypes * static_cast<int>(row.cases.size());
      outcomes[row.name][device] = {.cases = cases, .passed = cases, .failures = {}};
    }
  return outcomes;
}

} // namespace moec::test
