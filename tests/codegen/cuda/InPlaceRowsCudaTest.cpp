// Owner of: CUDA kernels of rows that write a result over an argument. The same bytes as in memory of its own, and no thread reads what another writes.
#include "tests/codegen/cuda/CudaKernelCheck.h"

#include <cstring>
#include <fmt/format.h>

namespace moec::testing {
namespace {

class InPlaceRowsCuda : public ::testing::TestWithParam<const char*> {};

TEST_P(InPlaceRowsCuda, aCrossEntropysGradientLiesOverItsScores) {
  MOEC_SKIP_WITHOUT_NVRTC();
  std::string dtype = GetParam();
  for (int classes : {5, 40, 3001}) {
    SCOPED_TRACE(classes);
    std::string scores = fmt::format("tensor<21x{}x{}>", classes, dtype), each = fmt::format("tensor<21x{}>", dtype);
    ParsedKernel kernel = parseKernel(
        "rows", fmt::format("%l: tensor<21xi32>, %d: {}, %x: {}", each, scores), scores,
        fmt::format("%g = moe.cross_entropy_grad %d, %x, %l smoothing 1.0e-1 ignore 2 : {0}, {1}, tensor<21xi32>  moe.yield %g : {1}", each, scores));
    std::vector<int32_t> labels;
    for (int row = 0; row < 21; ++row)
      labels.push_back(row * 3 % classes);
    CudaOptions options{.check = {.inputs = {Tensor::of(labels, {21})}}};
    CudaRun apart = checkCuda(kernel, options);
    options.inPlace = {{0, 2}};
    CudaRun within = checkCuda(kernel, options);
    EXPECT_EQ(std::memcmp(apart.outputs[0].data(), within.outputs[0].data(), apart.outputs[0].bytes()), 0);
  }
}

TEST_P(InPlaceRowsCuda, aGradientBesideItsLossLiesOverTheScores) {
  MOEC_SKIP_WITHOUT_NVRTC();
  std::string dtype = GetParam();
  for (int classes : {5, 40, 3001, 20001}) {
    SCOPED_TRACE(classes);
    std::string scores = fmt::format("tensor<21x{}x{}>", classes, dtype), each = fmt::format("tensor<21x{}>", dtype);
    ParsedKernel kernel = parseKernel("rows", fmt::format("%l: tensor<21xi32>, %d: {}, %x: {}", each, scores), fmt::format("{}, {}", each, scores),
                                      fmt::format(R"(
    %e = moe.cross_entropy %x, %l smoothing 1.0e-1 ignore 2 : {1}, tensor<21xi32>
    %g = moe.cross_entropy_grad %d, %x, %l smoothing 1.0e-1 ignore 2 : {0}, {1}, tensor<21xi32>
    moe.yield %e, %g : {0}, {1})",
                                                  each, scores));
    std::vector<int32_t> labels;
    for (int row = 0; row < 21; ++row)
      labels.push_back(row * 3 % classes);
    CudaOptions options{.check = {.inputs = {Tensor::of(labels, {21})}}};
    CudaRun apart = checkCuda(kernel, options);
    options.inPlace = {{1, 2}};
    CudaRun within = checkCuda(kernel, options);
    for (size_t i = 0; i < 2; ++i)
      EXPECT_EQ(std::memcmp(apart.outputs[i].data(), within.outputs[i].data(), apart.outputs[i].bytes()), 0) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Floats, InPlaceRowsCuda, ::testing::Values("f32", "f64"), [](const auto& info) { return std::string(info.param); });

} // namespace
} // namespace moec::testing
