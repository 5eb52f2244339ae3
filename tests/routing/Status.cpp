#include "tests/routing/Status.h"

#include <fmt/format.h>

namespace moec::test {

namespace {

constexpr int kDTypes = 2;

/// The families of rows, as the manifest calls them, and the headings of their tables.
constexpr std::pair<const char*, const char*> kFamilies[] = {{"gate", "Gates"}, {"expert", "Experts"}, {"block", "Whole layers"}, {"loss", "Losses"}};

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

std::string lineOf(const RoutingRow& row, const RoutingOutcomes& outcomes, const std::string& before) {
  std::string start = fmt::format("| `{}` | {} | {} {}{} | {} |", row.kind, row.name, row.origin, row.version, row.inexact.empty() ? "" : " (f32 in part)",
                                  kDTypes * row.cases.size());
  std::vector<std::string> cells = cellsBehind(before, start);
  cells.resize(std::size(kRoutingDevices), "not run");
  auto of = outcomes.find(row.name);
  std::string line = start;
  for (size_t i = 0; i < cells.size(); ++i) {
    bool ran = of != outcomes.end() && of->second.contains(kRoutingDevices[i]);
    line += fmt::format(" {} |", ran ? cell(of->second.at(kRoutingDevices[i])) : cells[i]);
  }
  return line + "\n";
}

} // namespace

std::string statusText(const std::vector<RoutingRow>& rows, const RoutingOutcomes& outcomes, const std::string& before) {
  std::string text = "# Routing: what agrees with what\n\n"
                     "Written by `write_routing_status` from a run of every file of tests/goldens/routing: each line is one gate, expert, layer "
                     "or loss with its\nparameters, run in inference and in training, in f32 and f64. Indices and drops are the original's exactly; "
                     "values within 1e-5 and 1e-12, gradients\nwithin 1e-5 and 1e-10. Where an original computes in f32 whatever the model's dtype, "
                     "\"f32 in part\", f64 is held to the limit that the manifest has.\n";
  for (const auto& [family, heading] : kFamilies) {
    text += fmt::format("\n## {}\n\n| Kind | File | Original | Cases | Reference | CPU | Emulator (sm_90a) |\n|---|---|---|---|---|---|---|\n", heading);
    for (const RoutingRow& row : rows)
      if (row.family == family)
        text += lineOf(row, outcomes, before);
  }
  return text;
}

} // namespace moec::test
