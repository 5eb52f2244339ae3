// Owner of: kernels of kind `gate` that take a routing apart. Every result is held against the reference interpreter.
#include "tests/codegen/KernelCheck.h"
#include "tests/codegen/ProductCheck.h"

#include <gtest/gtest.h>

namespace moec::testing {
namespace {

#define MOEC_ROUTING(experts) "!moe.routing<" #experts " experts, \"t\" tokens, 2 choices>"

class ExpertsOf : public ::testing::TestWithParam<std::vector<int32_t>> {};

TEST_P(ExpertsOf, partsOfTheExpertsInOrder) {
  ParsedKernel kernel = parseKernel("gate", "%r: " MOEC_ROUTING(5), MOEC_ROUTING(2) ", " MOEC_ROUTING(1) ", " MOEC_ROUTING(2) ", " MOEC_ROUTING(5), R"(
    %a = moe.experts_of %r from 0 count 2 : )" MOEC_ROUTING(5) R"(
    %b = moe.experts_of %r from 2 count 1 : )" MOEC_ROUTING(5) R"(
    %c = moe.experts_of %r from 3 count 2 : )" MOEC_ROUTING(5) R"(
    %d = moe.experts_of %r from 0 count 5 : )" MOEC_ROUTING(5) R"(
    moe.yield %a, %b, %c, %d : )" MOEC_ROUTING(2) ", " MOEC_ROUTING(1) ", " MOEC_ROUTING(2) ", " MOEC_ROUTING(5));
  CheckOptions options;
  options.bindings = {{"t", static_cast<int64_t>(GetParam().size()) / 2}};
  options.inputs = {routingTensor(GetParam(), 5, 2)};
  check(kernel, options);
  for (int64_t block : {1, 3})
    check(kernel, [&] {
      options.block = block;
      return options;
    }());
}

INSTANTIATE_TEST_SUITE_P(Experts, ExpertsOf,
                         ::testing::Values(std::vector<int32_t>{3, 1, 0, 4, 2, 2, -1, 0, 4, 3}, std::vector<int32_t>{2, 2, 2, 2}, std::vector<int32_t>{-1, -1},
                                           std::vector<int32_t>{4, -1, 4, 4, -1, 0}, std::vector<int32_t>{}));

} // namespace
} // namespace moec::testing
