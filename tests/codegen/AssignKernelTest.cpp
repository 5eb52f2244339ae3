// Owner of: kernels of kind `gate` that assign by groups, within another routing, or what a mask lets in. Routings are equal to the reference's.
#include "tests/codegen/AssignCases.h"

#include <gtest/gtest.h>

namespace moec::testing {
namespace {

class AssignKernel : public ::testing::TestWithParam<AssignCase> {};

TEST_P(AssignKernel, agrees) {
  CheckOptions options;
  options.bindings = bindingsOf(GetParam());
  options.inputs = inputsOf(GetParam()).tensors;
  options.exact = true;
  check(parseAssign(GetParam()), options);
}

INSTANTIATE_TEST_SUITE_P(Cases, AssignKernel, ::testing::ValuesIn(assignCases()), [](const auto& info) { return info.param.name; });

// Scores of the rows of an outer routing: what stands behind its count is no number and chooses nothing.
TEST(AssignKernels, scoresWithinARouting) {
  AssignCase c{"", 40, 2, 12, "choice_major", "4", 2, 3, 2};
  ParsedKernel kernel = parseKernel(
      "gate",
      "%x: tensor<?x4xf32, #moe.sizes<\"2*t\", \"4\">>, %w: tensor<?x2xf32, #moe.sizes<\"t\", \"2\">>, %o: !moe.routing<3 experts, \"t\" tokens, 2 choices>",
      "!moe.routing<12 experts, \"2*t\" tokens, 2 choices>", R"(
    %s = moe.softmax %x : tensor<?x4xf32, #moe.sizes<"2*t", "4">>
    %v, %i = moe.select %s k 2 : tensor<?x4xf32, #moe.sizes<"2*t", "4">>
    %m = moe.row_weights %w, %o : tensor<?x2xf32, #moe.sizes<"t", "2">>, !moe.routing<3 experts, "t" tokens, 2 choices>
    %k = moe.compare ge %v, %m : tensor<?x2xf32, #moe.sizes<"2*t", "2">>, tensor<?x1xf32, #moe.sizes<"2*t", "1">>
    %a = moe.assign %i keep %k : tensor<?x2xi1, #moe.sizes<"2*t", "2">> within %o : !moe.routing<3 experts, "t" tokens, 2 choices> experts 12 choice_major capacity "4" groups "g" : tensor<?x2xi32, #moe.sizes<"2*t", "2">>
    moe.yield %a : !moe.routing<12 experts, "2*t" tokens, 2 choices>)");
  AssignInputs given = inputsOf(c);
  Tensor scores = randomTensor(DType::F32, {c.rows(), 4}, 3);
  std::fill(scores.as<float>().begin() + given.kept * 4, scores.as<float>().end(), NAN);
  CheckOptions options;
  options.bindings = bindingsOf(c);
  options.inputs = {scores, randomTensor(DType::F32, {c.tokens, 2}, 4), given.tensors.back()};
  ASSERT_LT(given.kept, c.rows());
  check(kernel, options);
}

} // namespace
} // namespace moec::testing
