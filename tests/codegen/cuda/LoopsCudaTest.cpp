// Owner of: CUDA kernels of kind `loops`, and the harness itself: what it must find is found.
#include "tests/codegen/cuda/CudaKernelCheck.h"

namespace moec::testing {
namespace {

TEST(LoopsCuda, addsOnEveryTarget) {
  MOEC_SKIP_WITHOUT_NVRTC();
  for (const std::string& target : cudaTargetNames()) {
    ParsedKernel kernel = parseKernel("loops", "%x: tensor<37x5xf32>, %y: tensor<5xf32>", "tensor<37x5xf32>",
                                      "%z = moe.add %x, %y : tensor<37x5xf32>, tensor<5xf32>  moe.yield %z : tensor<37x5xf32>");
    checkCuda(kernel, {.target = target, .check = {.exact = true}});
  }
}

} // namespace
} // namespace moec::testing
