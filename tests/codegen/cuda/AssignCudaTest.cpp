// Owner of: CUDA kernels of kind `gate` that assign by groups, within another routing, or what a mask lets in. Routings are equal to the reference's; of an
// outer routing's tokens only those that there are are read.
#include "tests/codegen/AssignCases.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"

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
  for (int64_t oneBlockRows : {4096, 1}) { // without groups by one block, and by many
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
    emitCuda(parseAssign(c).op, "cuda:sm_90a");
    FAIL() << "it was written";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("assigns to 9000 of 9000 experts"), std::string::npos) << error.what();
  }
}

} // namespace
} // namespace moec::testing
