// Owner of: CUDA kernels of kind `places` and `swipe`. Places and indices are equal to the reference's.
#include "tests/codegen/OrderCases.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"

namespace moec::testing {
namespace {

class OrderCuda : public ::testing::TestWithParam<OrderCase> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
};

TEST_P(OrderCuda, agrees) { checkCuda(parseOrder(GetParam()), {.check = optionsOf(GetParam())}); }

INSTANTIATE_TEST_SUITE_P(Cases, OrderCuda, ::testing::ValuesIn(orderCases()), [](const auto& info) { return info.param.name; });

/// What is said to a kernel that hands rows on among so many workers, each with one expert; "" when it is made.
std::string refusalOf(int64_t workers) {
  ParsedKernel kernel = parseOrder({.name = "", .kind = "swipe", .tokens = workers, .choices = 1, .experts = workers, .workers = workers});
  try {
    emitKernel(kernel.op, "cuda:sm_90a");
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(SwipeCuda, refusesMoreWorkersThanSharedMemoryHolds) {
  MOEC_SKIP_WITHOUT_NVRTC();
  EXPECT_EQ(refusalOf(6144), "");
  std::string refusal = refusalOf(6145);
  EXPECT_NE(refusal.find("cuda:sm_90a cannot run this: it hands rows on among 6145 workers, and a block's shared memory holds 6144"), std::string::npos)
      << refusal;
}

} // namespace
} // namespace moec::testing
