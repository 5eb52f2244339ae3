// Owner of: CUDA kernels of kind `gate` that assign by groups, within another routing, or what a mask lets in. Routings are equal to the reference's; of an
// outer routing's tokens only those that there are are read.
#include "tests/codegen/AssignCases.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"
#include "tests/runner/Combinations.h"

namespace moec::testing {
namespace {

class AssignCuda : public ::testing::TestWithParam<AssignCase> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
};

TEST_P(AssignCuda, agrees) {
  const AssignCase& c = GetParam();
  AssignInputs inputs = inputsOf(c);
  CudaOptions options;
  options.check.bindings = bindingsOf(c);
  options.check.inputs = inputs.tensors;
  options.check.exact = true;
  options.kept = inputs.kept;
  options.raggedInputs = inputs.ragged;
  for (int64_t oneBlockRows : {4096, 1}) { // without groups by one block, and by many: the text of groups does not know it
    if (!test::allCombinations() && (c.groups || c.outerExperts) && oneBlockRows == 1)
      continue;
    ParsedKernel kernel = parseAssign(c);
    reschedule(kernel.op, "one_block_rows", oneBlockRows);
    checkCuda(kernel, options);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, AssignCuda, ::testing::ValuesIn(assignCases()), [](const auto& info) { return info.param.name; });

TEST(AssignCudaOnce, moreExpertsThanABlockCountsAreRefused) {
  MOEC_SKIP_WITHOUT_NVRTC();
  AssignCase c{"", 8, 1, 9000, "token_major", "2", 2};
  try {
    emitKernel(parseAssign(c).op, "cuda:sm_90a");
    FAIL() << "it was written";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("assigns to 9000 of 9000 experts"), std::string::npos) << error.what();
  }
}

// What the gate makes of an outer routing's rows is 0 behind their count, where it read nothing: a kernel that knows no routing may read all of it.
TEST(AssignCudaOnce, resultsWithinARoutingAreZeroBehindItsRows) {
  MOEC_SKIP_WITHOUT_NVRTC();
  AssignCase c{"", 40, 2, 12, "choice_major", "4", 2, 3, 2, true, true};
  ParsedKernel kernel = parseKernel(
      "gate",
      "%x: tensor<?x4xf32, #moe.sizes<\"2*t\", \"4\">>, %k: tensor<?x2xi1, #moe.sizes<\"2*t\", \"2\">>, %o: !moe.routing<3 experts, \"t\" tokens, 2 choices>",
      "tensor<?x2xf32, #moe.sizes<\"2*t\", \"2\">>, tensor<?x2xi32, #moe.sizes<\"2*t\", \"2\">>, !moe.routing<12 experts, \"2*t\" tokens, 2 choices>", R"(
    %s = moe.softmax %x : tensor<?x4xf32, #moe.sizes<"2*t", "4">>
    %v, %i = moe.select %s k 2 : tensor<?x4xf32, #moe.sizes<"2*t", "4">>
    %a = moe.assign %i keep %k : tensor<?x2xi1, #moe.sizes<"2*t", "2">> within %o : !moe.routing<3 experts, "t" tokens, 2 choices> experts 12 choice_major capacity "4" groups "g" : tensor<?x2xi32, #moe.sizes<"2*t", "2">>
    moe.yield %v, %i, %a : tensor<?x2xf32, #moe.sizes<"2*t", "2">>, tensor<?x2xi32, #moe.sizes<"2*t", "2">>, !moe.routing<12 experts, "2*t" tokens, 2 choices>)");
  AssignInputs given = inputsOf(c);
  CudaOptions options;
  options.check.bindings = bindingsOf(c);
  options.kept = given.kept;
  options.raggedInputs = {0, 1};
  ASSERT_LT(given.kept, c.rows());
  CudaRun run = runOnEmulator(kernel.op, {randomTensor(DType::F32, {c.rows(), 4}, 3), given.tensors[1], given.tensors.back()}, options);
  EXPECT_TRUE(run.findings.empty());
  for (int64_t at = 0; at < c.rows() * 2; ++at) {
    bool isRow = at < given.kept * 2;
    EXPECT_EQ(run.outputs[0].as<float>()[at] > 0, isRow) << at;
    EXPECT_TRUE(isRow || (run.outputs[0].as<float>()[at] == 0 && run.outputs[1].as<int32_t>()[at] == 0)) << at;
  }
}

} // namespace
} // namespace moec::testing
