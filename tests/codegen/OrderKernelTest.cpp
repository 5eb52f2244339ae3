// Owner of: kernels of kind `places` and `swipe`. Places and indices are equal to the reference's.
#include "tests/codegen/OrderCases.h"

#include <gtest/gtest.h>

namespace moec::testing {
namespace {

class OrderKernel : public ::testing::TestWithParam<OrderCase> {};

TEST_P(OrderKernel, agrees) { check(parseOrder(GetParam()), optionsOf(GetParam())); }

INSTANTIATE_TEST_SUITE_P(Cases, OrderKernel, ::testing::ValuesIn(orderCases()), [](const auto& info) { return info.param.name; });

} // namespace
} // namespace moec::testing
