#include "tests/routing/Status.h"

#include <fmt/format.h>

namespace moec::test {

namespace {

constexpr int kDTypes = 2;

std::string cell(const RoutingOutcome& outcome) {
  return outcome.passed == outcome.cases ? "agrees" : fmt::format("**{} of {} differ**", outcome.cases - outcome.passed, outcome.cases);
}

/// The cells behind `start`, a line's beginning, in a page; empty where it has no such line.
std::vector<std::string> cellsBehind(const std::string& page, const std::string& start) {
  std::vector<std::string> cells;
  size_t at = page.find("\n" + start);
  if (at == std::string::npos)
    return cells;
  at += 1 + start.size();
  for (size_t end; (end = page.find_first_of("|\n", at)) != std::string::npos && page[end] == '|'; at = end + 1)
    cells.push_back(page.substr(at + 1, end - at - 2));
  return cells;
}

} // namespace

std::string statusText(const std::vector<RoutingRow>& rows, const RoutingOutcomes& outcomes, const std::string& before) {
  std::string text = "# Routing: what agrees with what\n\n"
                     "Written by `write_routing_status` from a run of every file of tests/goldens/routing: each line is one gate with "
                     "its parameters, run in inference and in\n"
                     "training, in f32 and f64. Indices and drops are the original's exactly; values within 1e-5 and 1e-12, gradients "
                     "within 1e-5 and 1e-10. Where an original computes in "
                     "f32\nwhatever the model's dtype, \"f32 in part\", f64 is held to the limit that the manifest has.\n\n"
                     "| Kind | File | Original | Cases | Reference | CPU | Emulator (sm_90a) |\n|---|---|---|---|---|---|---|\n";
  for (const RoutingRow& row : rows) {
    std::string start = fmt::format("| `{}` | {} | {} {}{} | {} |", row.kind, row.name, row.origin, row.version, row.inexact.empty() ? "" : " (f32 in part)",
                                    kDTypes * row.cases.size());
    std::vector<std::string> cells = cellsBehind(before, start);
    cells.resize(std::size(kRoutingDevices), "not run");
    auto of = outcomes.find(row.name);
    text += start;
    for (size_t i = 0; i < cells.size(); ++i) {
      bool ran = of != outcomes.end() && of->second.contains(kRoutingDevices[i]);
      text += fmt::format(" {} |", ran ? cell(of->second.at(kRoutingDevices[i])) : cells[i]);
    }
    text += "\n";
  }
  return text;
}

} // namespace moec::test
