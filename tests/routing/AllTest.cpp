// Every file of tests/goldens/routing, in both dtypes, on every device.

#include "tests/routing/Expect.h"

using namespace moec;
using namespace moec::test;

namespace {

class Routing : public testing::TestWithParam<std::tuple<RoutingRow, std::string>> {};

} // namespace

TEST_P(Routing, AgreesWithTheOriginal) {
  const auto& [row, device] = GetParam();
  if (std::string missing = missingForRouting(device); !missing.empty())
    GTEST_SKIP() << missing;
  RoutingOutcome outcome = runRow(row, {device}).at(device);
  std::printf("%s, %s, %s %s: %d of %d cases; errors in tolerances: values %.1e, gradients %.1e\n", row.kind.c_str(), device.c_str(), row.origin.c_str(),
              row.version.c_str(), outcome.passed, outcome.cases, outcome.values, outcome.gradients);
  expectAgreement(row, outcome, 2);
}

INSTANTIATE_TEST_SUITE_P(All, Routing,
                         testing::Combine(testing::ValuesIn(routingRows()),
                                          testing::ValuesIn(std::vector<std::string>(std::begin(kRoutingDevices), std::end(kRoutingDevices)))),
                         [](const auto& info) { return testName(std::get<0>(info.param).name + "_" + std::get<1>(info.param)); });
