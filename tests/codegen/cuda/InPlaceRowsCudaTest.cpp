// Owner of: CUDA kernels of rows that write a result over an argument. The same bytes as in memory of its own, and no thread reads what another writes.
#include "codegen/analysis/InPlace.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"

#include <cstring>
#include <fmt/format.h>

namespace moec::testing {
namespace {

class InPlaceRowsCuda : public ::testing::TestWithParam<const char*> {
protected:
  std::string scores(int classes) const { return fmt::format("tensor<21x{}x{}>", classes, GetParam()); }
  std::string each() const { return fmt::format("tensor<21x{}>", GetParam()); }

  /// A result has the same bits over the argument as apart, and so do those beside it.
  static void expectBitsOverScores(const ParsedKernel& kernel, codegen::InPlace place, int classes) {
    std::vector<int32_t> labels;
    for (int row = 0; row < 21; ++row)
      labels.push_back(row * 3 % classes);
    CudaOptions options{.check = {.inputs = {Tensor::of(labels, {21})}}};
    CudaRun apart = checkCuda(kernel, options);
    options.inPlace = {{place.output, place.input}};
    CudaRun within = checkCuda(kernel, options);
    for (size_t i = 0; i < apart.outputs.size(); ++i)
      EXPECT_EQ(std::memcmp(apart.outputs[i].data(), within.outputs[i].data(), apart.outputs[i].bytes()), 0) << i;
  }
};

TEST_P(InPlaceRowsCuda, aCrossEntropysGradientLiesOverItsScores) {
  MOEC_SKIP_WITHOUT_NVRTC();
  for (int classes : {5, 40, 3001}) {
    SCOPED_TRACE(classes);
    expectBitsOverScores(
        parseKernel("rows", fmt::format("%l: tensor<21xi32>, %d: {}, %x: {}", each(), scores(classes)), scores(classes),
                    fmt::format("%g = moe.cross_entropy_grad %d, %x, %l smoothing 1.0e-1 ignore 2 : {0}, {1}, tensor<21xi32>  moe.yield %g : {1}", each(),
                                scores(classes))),
        {0, 2}, classes);
  }
}

/// Beside the losses and what label is the highest, which all threads must have read before one writes.
TEST_P(InPlaceRowsCuda, aGradientBesideItsLossLiesOverTheScores) {
  MOEC_SKIP_WITHOUT_NVRTC();
  for (int classes : {5, 40, 3001, 20001}) {
    SCOPED_TRACE(classes);
    expectBitsOverScores(parseKernel("rows", fmt::format("%l: tensor<21xi32>, %d: {}, %x: {}", each(), scores(classes)),
                                     fmt::format("{}, tensor<21xi1>, {}", each(), scores(classes)),
                                     fmt::format(R"(
    %e = moe.cross_entropy %x, %l smoothing 1.0e-1 ignore 2 : {1}, tensor<21xi32>
    %t = moe.is_top %x, %l ignore 2 : {1}, tensor<21xi32>
    %g = moe.cross_entropy_grad %d, %x, %l smoothing 1.0e-1 ignore 2 : {0}, {1}, tensor<21xi32>
    moe.yield %e, %t, %g : {0}, tensor<21xi1>, {1})",
                                                 each(), scores(classes))),
                         {2, 2}, classes);
  }
}

INSTANTIATE_TEST_SUITE_P(Floats, InPlaceRowsCuda, ::testing::Values("f32", "f64"), [](const auto& info) { return std::string(info.param); });

} // namespace
} // namespace moec::testing
