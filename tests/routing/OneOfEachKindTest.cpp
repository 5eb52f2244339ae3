// One file of each kind, in f32 on the CPU: what every build looks at. The rest is AllTest.cpp's.

#include "tests/routing/Expect.h"

using namespace moec;
using namespace moec::test;

namespace {

class OneOfEachKind : public testing::TestWithParam<RoutingRow> {};

} // namespace

TEST_P(OneOfEachKind, AgreesWithTheOriginalOnTheCpu) { expectAgreement(GetParam(), runRow(GetParam(), {"cpu"}, {DType::F32}).at("cpu"), 1); }

INSTANTIATE_TEST_SUITE_P(All, OneOfEachKind, testing::ValuesIn(oneOfEachKind()),
                         [](const auto& info) { return testName(info.param.family + "_" + info.param.kind); });
