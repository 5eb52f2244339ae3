// Owner of: gradients and losses in CUDA kernels of kind `rows`. Every result is held against the reference interpreter.
#include "runtime/core/Philox.h"
#include "tests/codegen/ProductCheck.h"
#include "tests/codegen/cuda/CudaKernelCheck.h"
#include "tests/ir/TensorText.h"

#include <cmath>
#include <fmt/format.h>
#include <regex>

namespace moec::testing {
namespace {

struct Case {
  const char *element, *rows, *width;
};

class RowGradientsCuda : public ::testing::TestWithParam<Case> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  /// M a matrix, V a row of it, C one number for each row, L labels (i64), S labels (i32), B one i1 for each row.
  std::string typed(std::string text) const {
    auto [element, rows, width] = GetParam();
    for (auto& [letter, type] : {std::pair{"M", tensorText({rows, width}, element)},
                                 {"V", tensorText({width}, element)},
                                 {"C", tensorText({rows}, element)},
                                 {"L", tensorText({rows}, "i64")},
                                 {"S", tensorText({rows}, "i32")},
                                 {"B", tensorText({rows}, "i1")}})
      text = std::regex_replace(text, std::regex(std::string("\\$") + letter), type);
    return text;
  }
  int64_t sizeOf(const char* text) const { return std::string(text) == "t" ? 11 : std::string(text) == "d" ? 337 : std::stoll(text); }
  int64_t rows() const { return sizeOf(GetParam().rows); }
  int64_t width() const { return sizeOf(GetParam().width); }
  CudaRun run(const std::string& arguments, const std::string& results, const std::string& body, std::vector<Tensor> inputs = {}, double leastScale = 0) {
    SCOPED_TRACE(body);
    ParsedKernel kernel = parseKernel("rows", typed(arguments), typed(results), typed(body));
    CudaOptions options;
    options.check.bindings = {{"t", 11}, {"d", 337}};
    options.check.terms = 1024;
    options.check.leastScale = leastScale;
    options.check.inputs = std::move(inputs);
    return checkCuda(kernel, options);
  }
  /// Of one element a norm leaves the difference of equal numbers, which is measured by those.
  CudaRun runNorm(const std::string& arguments, const std::string& results, const std::string& body) {
    return run(arguments, results, body, {}, width() == 1 ? 1 : 0);
  }
  /// Every fourth is `ignore`.
  Tensor labels(DType type, int64_t ignore) const {
    std::vector<int64_t> all;
    for (int64_t row = 0; row < rows(); ++row)
      all.push_back(row % 4 == 1 ? ignore : static_cast<int64_t>(draw(5, 2, 0, static_cast<uint64_t>(row))[0]) % width());
    return Tensor::of(std::move(all), {rows()}).cast(type);
  }
};

TEST_P(RowGradientsCuda, layerNorm) {
  runNorm("%dy: $M, %x: $M, %w: $V, %r: $M", "$M, $M", R"(
    %g = moe.layer_norm_grad %dy, %x weight %w : $V eps 1.0e-5 of $M, $M
    %y = moe.add %g, %r : $M, $M
    %p = moe.layer_norm_grad %dy, %x eps 1.0e-1 of $M, $M
    moe.yield %y, %p : $M, $M)");
}

TEST_P(RowGradientsCuda, rmsNormOfASum) {
  runNorm("%dy: $M, %x: $M, %w: $V, %r: $M", "$M, $M", R"(
    %s = moe.add %x, %r : $M, $M
    %g = moe.rms_norm_grad %dy, %s weight %w : $V eps 1.0e-6 of $M, $M
    %p = moe.rms_norm_grad %dy, %x eps 1.0e-1 of $M, $M
    moe.yield %g, %p : $M, $M)");
}

/// The gradients of a norm's rows, weight and bias: the last two are sums over all rows.
TEST_P(RowGradientsCuda, normWithSumsOverItsRows) {
  for (const char* norm : {"layer_norm", "rms_norm"})
    runNorm("%dy: $M, %x: $M, %w: $V, %r: $M", "$V, $M, $V",
            fmt::format(R"(
    %g = moe.{0}_grad %dy, %x weight %w : $V eps 1.0e-5 of $M, $M
    %n = moe.{0} %x eps 1.0e-5 of $M
    %p = moe.mul %dy, %n : $M, $M
    %s = moe.reduce sum %p axis 0 : $M
    %b = moe.reduce sum %dy axis 0 : $M
    %y = moe.add %g, %r : $M, $M
    moe.yield %s, %y, %b : $V, $M, $V)",
                        norm));
}

TEST_P(RowGradientsCuda, softmaxThroughItsOwnResult) {
  run("%dy: $M, %x: $M", "$M, $M", R"(
    %y = moe.softmax %x : $M
    %d = moe.gelu_tanh_grad %dy : $M
    %g = moe.softmax_grad %d, %y : $M, $M
    %p = moe.softmax_grad %dy, %x : $M, $M
    moe.yield %g, %p : $M, $M)");
}

TEST_P(RowGradientsCuda, logSumExpAndItsSquare) {
  run("%x: $M", "$C, $C", R"(
    %l = moe.log_sum_exp %x : $M
    %y = moe.mul %l, %l : $C, $C
    moe.yield %l, %y : $C, $C)");
}

TEST_P(RowGradientsCuda, crossEntropyOfBothLabelTypes) {
  for (const char* smoothing : {"0.0", "1.0e-1"})
    for (auto [type, letter, ignore] : {std::tuple{DType::I64, "$L", -100}, {DType::I32, "$S", 0}})
      run(fmt::format("%l: {}, %x: $M, %w: $C", letter), "$C, $C",
          fmt::format(R"(
    %e = moe.cross_entropy %x, %l smoothing {0} ignore {1} : $M, {2}
    %y = moe.mul %e, %w : $C, $C
    moe.yield %e, %y : $C, $C)",
                      smoothing, ignore, letter),
          {labels(type, ignore)});
}

TEST_P(RowGradientsCuda, isTopBesideTheLossAndAlone) {
  Tensor scores(DType::F64, {rows(), width()}); // many are equal
  for (int64_t i = 0; i < rows() * width(); ++i)
    scores.as<double>()[static_cast<size_t>(i)] = static_cast<double>(i * i % 5 + (i % 11 == 0));
  Tensor given = scores.cast(*parseDType(GetParam().element));
  for (auto [type, letter, ignore] : {std::tuple{DType::I64, "$L", -100}, {DType::I32, "$S", 0}}) {
    run(fmt::format("%l: {}, %x: $M", letter), "$C, $B",
        fmt::format(R"(
    %e = moe.cross_entropy %x, %l smoothing 0.0 ignore {0} : $M, {1}
    %y = moe.is_top %x, %l ignore {0} : $M, {1}
    moe.yield %e, %y : $C, $B)",
                    ignore, letter),
        {labels(type, ignore), given});
    run(fmt::format("%l: {}, %x: $M", letter), "$B",
        fmt::format(R"(
    %n = moe.neg %x : $M
    %y = moe.is_top %n, %l ignore {0} : $M, {1}
    moe.yield %y : $B)",
                    ignore, letter),
        {labels(type, ignore), given});
  }
}

TEST_P(RowGradientsCuda, gradientOfCrossEntropy) {
  for (const char* smoothing : {"0.0", "1.0e-1"})
    for (auto [type, letter, ignore] : {std::tuple{DType::I64, "$L", -100}, {DType::I32, "$S", 0}})
      run(fmt::format("%l: {}, %x: $M, %w: $C", letter), "$M",
          fmt::format(R"(
    %d = moe.neg %w : $C
    %g = moe.cross_entropy_grad %d, %x, %l smoothing {0} ignore {1} : $C, $M, {2}
    %y = moe.mul %g, %x : $M, $M
    moe.yield %y : $M)",
                      smoothing, ignore, letter),
          {labels(type, ignore)});
}

std::string nameOf(const ::testing::TestParamInfo<Case>& info) { return fmt::format("{}_{}x{}", info.param.element, info.param.rows, info.param.width); }

INSTANTIATE_TEST_SUITE_P(Shapes, RowGradientsCuda,
                         ::testing::Values(Case{"f32", "7", "13"}, Case{"f32", "t", "64"}, Case{"f32", "t", "d"}, Case{"f32", "3", "1025"},
                                           Case{"f32", "2", "20000"}, Case{"f32", "9", "1"}, Case{"f64", "t", "11"}, Case{"f64", "2", "1500"},
                                           Case{"bf16", "t", "40"}),
                         nameOf);

class RowGradientsCudaOnce : public ::testing::Test {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
};

TEST_F(RowGradientsCudaOnce, oddScores) {
  float nan = NAN, infinity = INFINITY;
  std::vector<float> x = {1, 2, -infinity, 3, 1, nan, 2, 3, 1, infinity, 2, 3, -infinity, -infinity, -infinity, -infinity, nan, infinity, 1, -1};
  for (int64_t ignore : {-1, 2}) {
    CudaOptions options;
    options.check.inputs = {Tensor::of(std::vector<int32_t>{0, 0, 0, 0, static_cast<int32_t>(ignore)}, {5}), Tensor::of(x, {5, 4})};
    checkCuda(parseKernel("rows", "%l: tensor<5xi32>, %x: tensor<5x4xf32>, %d: tensor<5xf32>", "tensor<5xf32>, tensor<5xf32>, tensor<5x4xf32>",
                          fmt::format(R"(
    %s = moe.log_sum_exp %x : tensor<5x4xf32>
    %e = moe.cross_entropy %x, %l smoothing 0.0 ignore {0} : tensor<5x4xf32>, tensor<5xi32>
    %g = moe.cross_entropy_grad %d, %x, %l smoothing 0.0 ignore {0} : tensor<5xf32>, tensor<5x4xf32>, tensor<5xi32>
    moe.yield %s, %e, %g : tensor<5xf32>, tensor<5xf32>, tensor<5x4xf32>)",
                                      ignore)),
              options);
  }
}

TEST_F(RowGradientsCudaOnce, selectGivesBackToItsIndices) {
  for (const char* element : {"f32", "f64", "bf16"})
    for (auto [k, width] : {std::pair{1, 5}, {2, 40}, {12, 67}}) {
      std::string x = fmt::format("tensor<9x{}x{}>", width, element), y = fmt::format("tensor<9x{}x{}>", k, element), i = fmt::format("tensor<9x{}xi32>", k);
      // The indices of a select of this kernel, and given ones, of which one choice may name an expert twice.
      checkCuda(parseKernel("rows", fmt::format("%x: {0}, %d: {1}", x, y), x,
                            fmt::format(R"(
    %v, %i = moe.select %x k {3} : {0}
    %p = moe.softmax %v : {1}
    %s = moe.softmax_grad %d, %p : {1}, {1}
    %g = moe.select_grad %s, %i experts {4} : {1}, {2}
    moe.yield %g : {0})",
                                        x, y, i, k, width)));
      std::vector<int32_t> chosen;
      for (int64_t at = 0; at < 9 * k; ++at)
        chosen.push_back(static_cast<int32_t>(draw(5, 3, 0, static_cast<uint64_t>(at))[0]) % width & 0x7fffffff);
      for (int32_t& one : chosen)
        one %= std::min(width, 3);
      CudaOptions options;
      options.check.inputs = {Tensor::of(std::move(chosen), {9, k})};
      checkCuda(parseKernel("rows", fmt::format("%i: {}, %d: {}", i, y), x,
                            fmt::format("%g = moe.select_grad %d, %i experts {} : {}, {}\n moe.yield %g : {}", width, y, i, x)),
                options);
    }
}

TEST_F(RowGradientsCudaOnce, choicesGetTheirRowsValues) {
  // Every third choice is dropped; of the column, rows behind the kept ones hold nothing.
  constexpr int64_t kTokens = 13, kChoices = 2, kExperts = 4;
  for (const char* element : {"f32", "f64", "bf16"})
    for (bool allDropped : {false, true}) {
      std::vector<int32_t> experts;
      for (int64_t row = 0; row < kTokens * kChoices; ++row)
        experts.push_back(allDropped || row % 3 == 1 ? -1 : static_cast<int32_t>(row * 5 % 7 % kExperts));
      CudaOptions options;
      options.check.inputs = {randomTensor(*parseDType(element), {kTokens * kChoices, 1}, 3), routingTensor(experts, kExperts, kChoices)};
      options.kept = static_cast<const int32_t*>(options.check.inputs[1].data())[kExperts];
      options.raggedInputs = {0};
      std::string routing = "!moe.routing<4 experts, \"13\" tokens, 2 choices>", y = fmt::format("tensor<13x2x{}>", element);
      checkCuda(parseKernel("rows", fmt::format("%c: tensor<26x1x{}>, %r: {}, %w: {}", element, routing, y), y,
                            fmt::format(R"(
    %v = moe.choice_values %c, %r : tensor<26x1x{0}>, {1}
    %y = moe.mul %v, %w : {2}, {2}
    moe.yield %y : {2})",
                                        element, routing, y)),
                options);
    }
}

TEST_F(RowGradientsCudaOnce, noRows) {
  std::string m = tensorText({"t", "45"}, "f32"), c = tensorText({"t"}, "f32"), l = tensorText({"t"}, "i64");
  ParsedKernel kernel =
      parseKernel("rows", fmt::format("%x: {0}, %d: {1}, %l: {2}", m, c, l), m,
                  fmt::format("%g = moe.cross_entropy_grad %d, %x, %l smoothing 0.0 ignore -1 : {1}, {0}, {2}\n moe.yield %g : {0}", m, c, l));
  checkCuda(kernel, {.check = {.bindings = {{"t", 0}}}});
}

/// More rows than one piece has, of three dimensions; none.
TEST(RowSumsCuda, ofRowsOfManyDimensions) {
  MOEC_SKIP_WITHOUT_NVRTC();
  std::string x = tensorText({"b", "65", "40"}, "f32"), flat = tensorText({"65*b", "40"}, "f32");
  ParsedKernel kernel = parseKernel("rows", fmt::format("%dy: {0}, %x: {0}", x), fmt::format("{0}, tensor<40xf32>, tensor<40xf32>", x),
                                    fmt::format(R"(
    %g = moe.rms_norm_grad %dy, %x eps 1.0e-5 of {0}, {0}
    %n = moe.rms_norm %x eps 1.0e-5 of {0}
    %p = moe.mul %dy, %n : {0}, {0}
    %v = moe.reshape %p : {0} -> {1}
    %w = moe.reduce sum %v axis 0 : {1}
    %u = moe.reshape %dy : {0} -> {1}
    %b = moe.reduce sum %u axis 0 : {1}
    moe.yield %g, %w, %b : {0}, tensor<40xf32>, tensor<40xf32>)",
                                                x, flat));
  for (int64_t batch : {0, 1, 5})
    checkCuda(kernel, {.check = {.bindings = {{"b", batch}}, .terms = 65 * std::max<int64_t>(1, batch)}});
}

} // namespace
} // namespace moec::testing
