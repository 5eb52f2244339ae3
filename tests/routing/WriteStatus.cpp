// Runs every routing golden on every device and writes the table: write_routing_status FILE [PREFIX OF ROWS [DEVICE]].
// Lines of rows and devices that are not run stay as they are. Progress, errors in tolerances, and what differs go to
// stdout.

#include "tests/routing/Status.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <iterator>

using namespace moec::test;

int main(int count, char** arguments) {
  if (count < 2 || count > 4) {
    std::fprintf(stderr, "usage: write_routing_status FILE [PREFIX [DEVICE]]\n");
    return 2;
  }
  std::string prefix = count > 2 ? arguments[2] : "";
  std::vector<std::string> devices;
  for (const char* device : kRoutingDevices) {
    if (count == 4 && std::string(device) != arguments[3])
      continue;
    std::string missing = missingForRouting(device);
    if (missing.empty())
      devices.push_back(device);
    else
      fmt::print("[SKIP] {}: {}\n", device, missing);
  }
  std::vector<RoutingRow> rows = routingRows();
  RoutingOutcomes outcomes;
  bool passed = true;
  for (const RoutingRow& row : rows) {
    if (!row.name.starts_with(prefix))
      continue;
    outcomes[row.name] = runRow(row, devices);
    fmt::print("{:<40}", row.name);
    for (const auto& [device, outcome] : outcomes[row.name]) {
      fmt::print(" {}: {}/{} (values {:.1e}, gradients {:.1e})", device, outcome.passed, outcome.cases, outcome.values, outcome.gradients);
      passed = passed && outcome.passed == outcome.cases;
    }
    fmt::print("\n");
    for (const auto& [device, outcome] : outcomes[row.name])
      for (const std::string& failure : outcome.failures)
        fmt::print("  {}\n", failure);
    std::fflush(stdout);
  }
  std::ifstream file(arguments[1]);
  std::string before{std::istreambuf_iterator<char>(file), {}};
  std::ofstream(arguments[1]) << statusText(rows, outcomes, before);
  return passed ? 0 : 4;
}
