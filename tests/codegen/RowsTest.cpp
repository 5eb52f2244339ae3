// Owner of: kernels over rows. Every result is held against the reference interpreter.
#include "tests/codegen/KernelCheck.h"
#include "tests/ir/TensorText.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <tuple>

namespace moec::testing {
namespace {

struct Case {
  std::string element, rows, width;
};

class Rows : public ::testing::TestWithParam<Case> {
protected:
  std::string matrix() const { return tensorText({GetParam().rows, GetParam().width}, GetParam().element); }
  std::string vector() const { return tensorText({GetParam().width}, GetParam().element); }
  std::string column() const { return tensorText({GetParam().rows, "1"}, GetParam().element); }
  CheckOptions options() const {
    CheckOptions result;
    result.bindings = {{"t", 11}, {"d", 37}};
    return result;
  }
  void run(const std::string& arguments, const std::string& results, const std::string& body) {
    SCOPED_TRACE(body);
    ParsedKernel kernel = parseKernel("rows", arguments, results, body);
    check(kernel, options());
  }
};

TEST_P(Rows, everyUnaryOp) {
  std::string m = matrix();
  for (const char* op : {"neg", "exp", "tanh", "sigmoid", "softplus", "relu", "erf", "gelu", "gelu_tanh", "silu", "gelu_grad", "gelu_tanh_grad"})
    run("%x: " + m, m, fmt::format("%y = moe.{0} %x : {1}\n moe.yield %y : {1}", op, m));
}

TEST_P(Rows, unaryOpsWithParameters) {
  std::string m = matrix();
  run("%x: " + m, m, fmt::format("%y = moe.leaky_relu %x slope 0.1 : {0}\n moe.yield %y : {0}", m));
  run("%x: " + m, m, fmt::format("%y = moe.elu %x alpha 1.5 : {0}\n moe.yield %y : {0}", m));
}

TEST_P(Rows, logAndSqrtOfPositiveNumbers) {
  std::string m = matrix();
  run("%x: " + m, m,
      fmt::format("%p = moe.mul %x, %x : {0}, {0}\n %l = moe.log %p : {0}\n %s = moe.sqrt %p : {0}\n"
                  "%y = moe.add %l, %s : {0}, {0}\n moe.yield %y : {0}",
                  m));
}

TEST_P(Rows, binaryOpsBroadcastVectorsAndColumns) {
  std::string m = matrix(), v = vector(), c = column();
  for (const char* op : {"add", "sub", "mul", "div", "min", "max"})
    run("%x: " + m + ", %v: " + v + ", %c: " + c, m,
        fmt::format("%a = moe.{0} %x, %v : {1}, {2}\n %y = moe.{0} %a, %c : {1}, {3}\n moe.yield %y : {1}", op, m, v, c));
}

TEST_P(Rows, compareAndCastToTheOtherFloat) {
  std::string m = matrix(), mask = tensorText({GetParam().rows, GetParam().width}, "i1");
  run("%x: " + m + ", %z: " + m, mask + ", " + m,
      fmt::format("%k = moe.compare lt %x, %z : {0}, {0}\n %f = moe.cast %k to {2} : {1}\n"
                  "%y = moe.mul %f, %x : {0}, {0}\n moe.yield %k, %y : {1}, {0}",
                  m, mask, GetParam().element));
}

TEST_P(Rows, whereOfAComparisonAndOfAStoredMask) {
  std::string m = matrix(), mask = tensorText({GetParam().rows, GetParam().width}, "i1"), v = vector(), c = column();
  run(fmt::format("%x: {0}, %z: {0}, %v: {1}, %c: {2}", m, v, c), mask + ", " + m + ", " + m,
      fmt::format("%k = moe.compare gt %x, %z : {0}, {0}\n %a = moe.where %k, %x, %v : {3}, {0}, {1}\n"
                  "%h = moe.compare le %c, %c : {2}, {2}\n %f = moe.cast %k to {4} : {3}\n %s = moe.sub %a, %f : {0}, {0}\n"
                  "%b = moe.where %h, %s, %c : {5}, {0}, {2}\n moe.yield %k, %a, %b : {3}, {0}, {0}",
                  m, v, c, mask, GetParam().element, tensorText({GetParam().rows, "1"}, "i1")));
}

TEST_P(Rows, layerNormOfAResidualSum) {
  std::string m = matrix(), v = vector();
  run(fmt::format("%x: {0}, %r: {0}, %w: {1}, %b: {1}", m, v), m + ", " + m,
      fmt::format("%s = moe.add %x, %r : {0}, {0}\n"
                  "%n = moe.layer_norm %s weight %w : {1} bias %b : {1} eps 1.0e-5 of {0}\n"
                  "moe.yield %s, %n : {0}, {0}",
                  m, v));
}

TEST_P(Rows, rmsNormOfAResidualSum) {
  std::string m = matrix(), v = vector();
  run(fmt::format("%x: {0}, %r: {0}, %w: {1}", m, v), m + ", " + m + ", " + m,
      fmt::format("%s = moe.add %x, %r : {0}, {0}\n"
                  "%n = moe.rms_norm %s weight %w : {1} eps 1.0e-6 of {0}\n"
                  "%b = moe.rms_norm %x eps 2.0e-1 of {0}\n %y = moe.mul %b, %w : {0}, {1}\n"
                  "moe.yield %s, %n, %y : {0}, {0}, {0}",
                  m, v));
}

/// Far below the highest score shares are subnormal, and still tell which score is the higher one.
TEST(RowsOfScores, softmaxKeepsNumbersBelowTheNormalOnes) {
  for (auto [element, near, far] : {std::tuple("f32", -90.0, -100.0), {"f64", -720.0, -740.0}})
    for (int64_t width : {8, 64, 67})
      for (const std::string& target : testTargets()) {
        SCOPED_TRACE(fmt::format("{} {} {}", element, width, target));
        std::string type = fmt::format("tensor<3x{}x{}>", width, element);
        ParsedKernel kernel = parseKernel("rows", "%x: " + type, type, fmt::format("%p = moe.softmax %x : {0}\n moe.yield %p : {0}", type));
        std::vector<double> x(static_cast<size_t>(3 * width), far);
        for (size_t row = 0; row < 3; ++row)
          x[row * width] = 0, x[row * width + 5] = near;
        Tensor scores = Tensor::of(x, {3, width}).cast(element == std::string("f32") ? DType::F32 : DType::F64);
        std::vector<double> p = LoadedKernel(kernel.op, target).run({scores}, {}).front().toDoubles();
        for (size_t row = 0; row < 3; ++row) {
          EXPECT_GT(p[row * width + 5], p[row * width + 1]);
          EXPECT_GT(p[row * width + 1], 0);
        }
      }
}

TEST_P(Rows, softmaxThenScale) {
  std::string m = matrix(), c = column();
  run("%x: " + m + ", %c: " + c, m + ", " + m,
      fmt::format("%g = moe.gelu %x : {0}\n %p = moe.softmax %g : {0}\n %y = moe.mul %p, %c : {0}, {1}\n"
                  "moe.yield %p, %y : {0}, {0}",
                  m, c));
}

TEST_P(Rows, reductions) {
  std::string m = matrix(), r = tensorText({GetParam().rows}, GetParam().element);
  run("%x: " + m, fmt::format("{0}, {0}, {0}", r),
      fmt::format("%e = moe.exp %x : {0}\n %s = moe.reduce sum %e axis 1 : {0}\n %m = moe.reduce mean %x axis 1 : {0}\n"
                  "%h = moe.reduce max %x axis 1 : {0}\n %y = moe.mul %s, %m : {1}, {1}\n moe.yield %s, %y, %h : {1}, {1}, {1}",
                  m, r));
}

INSTANTIATE_TEST_SUITE_P(Shapes, Rows,
                         ::testing::Values(Case{"f32", "5", "64"}, Case{"f32", "7", "13"}, Case{"f32", "3", "5"}, Case{"f32", "t", "100"},
                                           Case{"f32", "t", "d"}, Case{"f64", "4", "32"}, Case{"f64", "t", "11"}, Case{"f64", "t", "d"},
                                           Case{"f32", "300", "1"}),
                         [](const auto& info) { return info.param.element + "_" + info.param.rows + "x" + info.param.width; });

TEST(RowsSlices, sliceAndConcatAlongRows) {
  ParsedKernel kernel = parseKernel("rows", "%x: tensor<3x20xf32>, %z: tensor<3x7xf32>", "tensor<3x18xf32>", R"(
    %a = moe.slice %x axis 1 from "3" size "11" : tensor<3x20xf32>
    %e = moe.exp %a : tensor<3x11xf32>
    %c = moe.concat %e, %z axis 1 : tensor<3x11xf32>, tensor<3x7xf32>
    %y = moe.softmax %c : tensor<3x18xf32>
    moe.yield %y : tensor<3x18xf32>)");
  check(kernel);
}

TEST(RowsLeading, operandsBroadcastOverSomeLeadingDimensions) {
  ParsedKernel kernel = parseKernel("rows", "%x: tensor<4x3x9xf32>, %y: tensor<1x3x9xf32>, %z: tensor<4x1x1xf32>, %s: tensor<f32>", "tensor<4x3x9xf32>", R"(
    %a = moe.add %x, %y : tensor<4x3x9xf32>, tensor<1x3x9xf32>
    %b = moe.mul %a, %z : tensor<4x3x9xf32>, tensor<4x1x1xf32>
    %c = moe.mul %b, %s : tensor<4x3x9xf32>, tensor<f32>
    %n = moe.layer_norm %c eps 1.0e-6 of tensor<4x3x9xf32>
    moe.yield %n : tensor<4x3x9xf32>)");
  CheckOptions options;
  options.block = 5;
  check(kernel, options);
}

TEST(RowsSelect, tiesGoToTheLowestIndexAndNanIsSmallest) {
  float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  std::vector<float> scores = {1,   3, 3, 2,     3, nan, nan,   nan,      nan, nan,      -infinity, nan, -infinity,
                               nan, 5, 0, -0.0f, 0, -1,  -0.0f, infinity, 1,   infinity, 2,         nan};
  for (int k : {1, 2, 3, 5}) {
    ParsedKernel kernel = parseKernel("rows", "%x: tensor<5x5xf32>", fmt::format("tensor<5x{0}xf32>, tensor<5x{0}xi32>", k),
                                      fmt::format("%v, %i = moe.select %x k {0} : tensor<5x5xf32>\n"
                                                  "moe.yield %v, %i : tensor<5x{0}xf32>, tensor<5x{0}xi32>",
                                                  k));
    CheckOptions options;
    options.inputs = {Tensor::of(scores, {5, 5})};
    check(kernel, options);
  }
}

TEST(RowsSelect, manyExpertsOfBothFloats) {
  for (const char* element : {"f32", "f64"}) {
    ParsedKernel kernel = parseKernel("rows", fmt::format("%x: tensor<9x67x{}>", element), fmt::format("tensor<9x6x{}>, tensor<9x6xi32>", element),
                                      fmt::format("%p = moe.softmax %x : tensor<9x67x{0}>\n%v, %i = moe.select %p k 6 : tensor<9x67x{0}>\n"
                                                  "moe.yield %v, %i : tensor<9x6x{0}>, tensor<9x6xi32>",
                                                  element));
    check(kernel);
  }
}

TEST(RowsRandom, drawsAreThoseOfThePhiloxHeader) {
  for (const char* element : {"f32", "f64"})
    for (const char* distribution : {"uniform", "normal"}) {
      ParsedKernel kernel =
          parseKernel("rows", fmt::format("%x: tensor<6x21x{}>", element), fmt::format("tensor<6x21x{0}>, tensor<6x21x{0}>", element),
                      fmt::format("%a = moe.random uniform \"other\" : tensor<6x21x{0}>\n"
                                  "%b = moe.random {1} \"layers.0.noise\" : tensor<6x21x{0}>\n moe.yield %a, %b : tensor<6x21x{0}>, tensor<6x21x{0}>",
                                  element, distribution));
      CheckOptions options;
      options.exact = true;
      check(kernel, options);
    }
}

TEST(RowsRandom, theLargestOfSomeDraws) {
  for (int experts : {1, 4, 32, 300}) {
    ParsedKernel kernel = parseKernel("rows", "", "tensor<1x1xi32>",
                                      fmt::format("%d = moe.random uniform \"moe.gate.expert\" : tensor<1x{0}xf32>\n"
                                                  "%v, %i = moe.select %d k 1 : tensor<1x{0}xf32>\n moe.yield %i : tensor<1x1xi32>",
                                                  experts));
    CheckOptions options;
    options.exact = true;
    check(kernel, options);
  }
}

TEST(RowsConstants, splatsAndTables) {
  ParsedKernel kernel = parseKernel("rows", "%x: tensor<3x4xf32>", "tensor<3x4xf32>", R"(
    %two = moe.constant dense<2.0> : tensor<f32>
    %table = moe.constant dense<[1.0, -2.0, 3.0, 4.5]> : tensor<4xf32>
    %a = moe.mul %x, %two : tensor<3x4xf32>, tensor<f32>
    %y = moe.add %a, %table : tensor<3x4xf32>, tensor<4xf32>
    moe.yield %y : tensor<3x4xf32>)");
  check(kernel);
}

TEST(RowsBf16, roundsAfterEachOp) {
  ParsedKernel kernel = parseKernel("rows", "%x: tensor<3x40xbf16>, %y: tensor<3x40xbf16>", "tensor<3x40xbf16>", R"(
    %a = moe.mul %x, %y : tensor<3x40xbf16>, tensor<3x40xbf16>
    %n = moe.softmax %a : tensor<3x40xbf16>
    moe.yield %n : tensor<3x40xbf16>)");
  check(kernel);
}

} // namespace
} // namespace moec::testing
