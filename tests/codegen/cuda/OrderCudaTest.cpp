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

} // namespace
} // namespace moec::testing
