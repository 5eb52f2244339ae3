// One file of each kind, in f32 on the CPU: what every build looks at. The rest is AllTest.cpp's.

#include "tests/routing/Suite.h"

#include <gtest/gtest.h>

using namespace moec;
using namespace moec::test;

namespace {

class OneOfEachKind : public testing::TestWithParam<RoutingRow> {};

} // namespace

TEST_P(OneOfEachKind, AgreesWithTheOriginalOnTheCpu) {
  RoutingOutcome outcome = runRow(GetParam(), {"cpu"}, {DType::F32}).at("cpu");
  EXPECT_EQ(outcome.cases, static_cast<int>(GetParam().cases.size()));
  for (const std::string& failure : outcome.failures)
    ADD_FAILURE() << failure;
}

INSTANTIATE_TEST_SUITE_P(All, OneOfEachKind, testing::ValuesIn(oneOfEachKind()), [](const auto& info) { return info.param.kind; });
