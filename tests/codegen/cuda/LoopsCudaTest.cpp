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

TEST(LoopsCuda, aSumOverExpertsThenItsActivation) {
  MOEC_SKIP_WITHOUT_NVRTC();
  ParsedKernel kernel = parseKernel("loops", "%e: tensor<3x37x20xf32>, %x: tensor<37x20xf32>", "tensor<37x20xf32>", R"(
    %s = moe.reduce sum %e axis 0 : tensor<3x37x20xf32>
    %a = moe.elu %s alpha 1.0 : tensor<37x20xf32>
    %r = moe.add %a, %x : tensor<37x20xf32>, tensor<37x20xf32>
    moe.yield %r : tensor<37x20xf32>)");
  checkCuda(kernel);
}

TEST(LoopsCuda, oneIndexForAllTokens) {
  MOEC_SKIP_WITHOUT_NVRTC();
  std::string y = "tensor<?x1xi32, #moe.sizes<\"t\", \"1\">>";
  ParsedKernel kernel = parseKernel("loops", "%i: tensor<1x1xi32>", y, "%y = moe.broadcast %i : tensor<1x1xi32> -> " + y + "  moe.yield %y : " + y);
  CudaOptions options;
  options.check.bindings = {{"t", 37}};
  options.check.inputs = {Tensor::of(std::vector<int32_t>{3}, {1, 1})};
  options.check.exact = true;
  checkCuda(kernel, options);
}

} // namespace
} // namespace moec::testing
