// Every file of tests/goldens/routing, in both dtypes, on every device.

#include "tests/routing/Expect.h"

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
    expectAgreement(GetParam(), outcome, 2);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Routing, testing::ValuesIn(routingRows()), [](const auto& info) { return testName(info.param.name); });
