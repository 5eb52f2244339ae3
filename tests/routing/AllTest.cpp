// Every file of tests/goldens/routing, in both dtypes, on every device.

#include "tests/routing/Status.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

using namespace moec;
using namespace moec::test;

namespace {

class Routing : public testing::TestWithParam<RoutingRow> {};

} // namespace

TEST_P(Routing, AgreesWithTheOriginal) {
  std::vector<std::string> devices;
  for (const char* device : kRoutingDevices) {
    std::string missing = missingForRouting(device);
    if (missing.empty())
      devices.push_back(device);
    else
      std::printf("[SKIP] %s: %s\n", device, missing.c_str());
  }
  for (const auto& [device, outcome] : runRow(GetParam(), devices)) {
    std::printf("%s, %s, %s %s: %d of %d cases; errors in tolerances: values %.1e, gradients %.1e\n", GetParam().kind.c_str(), device.c_str(),
                GetParam().origin.c_str(), GetParam().version.c_str(), outcome.passed, outcome.cases, outcome.values, outcome.gradients);
    EXPECT_EQ(outcome.cases, 2 * static_cast<int>(GetParam().cases.size()));
    for (const std::string& failure : outcome.failures)
      ADD_FAILURE() << failure;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Routing, testing::ValuesIn(routingRows()), [](const auto& info) {
  std::string name = info.param.name;
  std::ranges::replace_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});
