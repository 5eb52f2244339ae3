// Owner of: CUDA kernels of kind `rows`. Every result is held against the reference interpreter; the emulator finds nothing to complain of.
#include "tests/codegen/cuda/CudaKernelCheck.h"
#include "tests/ir/TensorText.h"

#include <fmt/format.h>

namespace moec::testing {
namespace {

struct Case {
  std::string element, rows, width;
};

class RowsCuda : public ::testing::TestWithParam<Case> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  std::string matrix() const { return tensorText({GetParam().rows, GetParam().width}, GetParam().element); }
  std::string vector() const { return tensorText({GetParam().width}, GetParam().element); }
  std::string column() const { return tensorText({GetParam().rows, "1"}, GetParam().element); }
  CudaRun run(const std::string& arguments, const std::string& results, const std::string& body) {
    SCOPED_TRACE(body);
    ParsedKernel kernel = parseKernel("rows", arguments, results, body);
    CudaOptions options;
    options.check.bindings = {{"t", 11}, {"d", 337}};
    options.check.terms = 1024;
    CudaRun run = checkCuda(kernel, options);
    EXPECT_EQ(run.bankConflicts(), 0u) << run.text;
    return run;
  }
};

/// What they compute does not depend on the shape.
class RowsCudaElements : public RowsCuda {};

TEST_P(RowsCudaElements, chainsOfEveryOp) {
  std::string m = matrix();
  run("%x: " + m, m,
      fmt::format("%a = moe.exp %x : {0}\n %b = moe.tanh %a : {0}\n %c = moe.sigmoid %x : {0}\n %d = moe.softplus %c : {0}\n %e = moe.gelu %d : {0}\n"
                  "%f = moe.gelu_tanh %x : {0}\n %g = moe.silu %f : {0}\n %h = moe.leaky_relu %x slope 0.1 : {0}\n %i = moe.elu %h alpha 1.5 : {0}\n"
                  "%j = moe.add %b, %e : {0}, {0}\n %k = moe.max %g, %i : {0}, {0}\n %y = moe.sub %j, %k : {0}, {0}\n moe.yield %y : {0}",
                  m));
  run("%x: " + m, m,
      fmt::format("%p = moe.mul %x, %x : {0}, {0}\n %l = moe.log %p : {0}\n %s = moe.sqrt %p : {0}\n %n = moe.neg %s : {0}\n %r = moe.relu %l : {0}\n"
                  "%y = moe.min %n, %r : {0}, {0}\n moe.yield %y : {0}",
                  m));
}

TEST_P(RowsCuda, operandsBroadcast) {
  std::string m = matrix(), v = vector(), c = column();
  run("%x: " + m + ", %v: " + v + ", %c: " + c, m,
      fmt::format("%a = moe.add %x, %v : {0}, {1}\n %y = moe.div %a, %c : {0}, {2}\n moe.yield %y : {0}", m, v, c));
}

TEST_P(RowsCuda, compareAndCast) {
  std::string m = matrix(), mask = tensorText({GetParam().rows, GetParam().width}, "i1");
  run("%x: " + m + ", %z: " + m, mask + ", " + m,
      fmt::format("%k = moe.compare lt %x, %z : {0}, {0}\n %f = moe.cast %k to {2} : {1}\n"
                  "%y = moe.mul %f, %x : {0}, {0}\n moe.yield %k, %y : {1}, {0}",
                  m, mask, GetParam().element));
}

TEST_P(RowsCuda, rmsNormOfAResidualSum) {
  std::string m = matrix(), v = vector();
  run(fmt::format("%x: {0}, %r: {0}, %w: {1}", m, v), m + ", " + m + ", " + m,
      fmt::format("%s = moe.add %x, %r : {0}, {0}\n"
                  "%n = moe.rms_norm %s weight %w : {1} eps 1.0e-6 of {0}\n"
                  "%b = moe.rms_norm %x eps 2.0e-1 of {0}\n %y = moe.mul %b, %w : {0}, {1}\n"
                  "moe.yield %s, %n, %y : {0}, {0}, {0}",
                  m, v));
}

TEST_P(RowsCuda, layerNormOfAResidualSum) {
  std::string m = matrix(), v = vector();
  run(fmt::format("%x: {0}, %r: {0}, %w: {1}, %b: {1}", m, v), m + ", " + m,
      fmt::format("%s = moe.add %x, %r : {0}, {0}\n"
                  "%n = moe.layer_norm %s weight %w : {1} bias %b : {1} eps 1.0e-5 of {0}\n"
                  "moe.yield %s, %n : {0}, {0}",
                  m, v));
}

TEST_P(RowsCuda, softmaxOfAnActivationThenScale) {
  std::string m = matrix(), c = column();
  run("%x: " + m + ", %c: " + c, m + ", " + m,
      fmt::format("%g = moe.gelu %x : {0}\n %p = moe.softmax %g : {0}\n %y = moe.mul %p, %c : {0}, {1}\n"
                  "moe.yield %p, %y : {0}, {0}",
                  m, c));
}

TEST_P(RowsCuda, reductions) {
  std::string m = matrix(), r = tensorText({GetParam().rows}, GetParam().element);
  run("%x: " + m, fmt::format("{0}, {0}, {0}", r),
      fmt::format("%e = moe.exp %x : {0}\n %s = moe.reduce sum %e axis 1 : {0}\n %m = moe.reduce mean %x axis 1 : {0}\n"
                  "%h = moe.reduce max %x axis 1 : {0}\n %y = moe.mul %s, %m : {1}, {1}\n moe.yield %s, %y, %h : {1}, {1}, {1}",
                  m, r));
}

std::string nameOf(const ::testing::TestParamInfo<Case>& info) { return info.param.element + "_" + info.param.rows + "x" + info.param.width; }

INSTANTIATE_TEST_SUITE_P(Shapes, RowsCudaElements, ::testing::Values(Case{"f32", "7", "13"}, Case{"f64", "t", "d"}, Case{"bf16", "t", "40"}), nameOf);
INSTANTIATE_TEST_SUITE_P(Shapes, RowsCuda,
                         ::testing::Values(Case{"f32", "5", "64"}, Case{"f32", "7", "13"}, Case{"f32", "t", "100"}, Case{"f32", "t", "d"},
                                           Case{"f64", "t", "11"}, Case{"f64", "t", "d"}, Case{"f32", "300", "1"}, Case{"f32", "1", "1024"},
                                           Case{"f32", "3", "1025"}, Case{"f64", "2", "4100"}, Case{"f32", "2", "20000"}, Case{"bf16", "t", "40"},
                                           Case{"bf16", "3", "d"}),
                         nameOf);

class RowsCudaOnce : public ::testing::Test {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
};

TEST_F(RowsCudaOnce, noRowsAndOne) {
  for (const char* element : {"f32", "f64", "bf16"}) {
    std::string m = tensorText({"t", "45"}, element);
    ParsedKernel kernel = parseKernel("rows", "%x: " + m, m, fmt::format("%p = moe.softmax %x : {0}\n moe.yield %p : {0}", m));
    for (int64_t rows : {0, 1, 5})
      checkCuda(kernel, {.check = {.bindings = {{"t", rows}}}});
  }
}

TEST_F(RowsCudaOnce, sliceAndConcatAlongRows) {
  ParsedKernel kernel = parseKernel("rows", "%x: tensor<3x20xf32>, %z: tensor<3x7xf32>", "tensor<3x18xf32>, tensor<3x2xf32>", R"(
    %a = moe.slice %x axis 1 from "3" size "11" : tensor<3x20xf32>
    %e = moe.softmax %a : tensor<3x11xf32>
    %c = moe.concat %e, %z axis 1 : tensor<3x11xf32>, tensor<3x7xf32>
    %y = moe.softmax %c : tensor<3x18xf32>
    %s = moe.slice %y axis 1 from "16" size "2" : tensor<3x18xf32>
    moe.yield %y, %s : tensor<3x18xf32>, tensor<3x2xf32>)");
  checkCuda(kernel);
}

TEST_F(RowsCudaOnce, concatOfRowsWiderThanAWarp) {
  ParsedKernel kernel = parseKernel("rows", "%x: tensor<3x40xf32>, %z: tensor<3x70xf32>", "tensor<3x110xf32>", R"(
    %e = moe.softmax %x : tensor<3x40xf32>
    %n = moe.layer_norm %z eps 1.0e-5 of tensor<3x70xf32>
    %c = moe.concat %e, %n axis 1 : tensor<3x40xf32>, tensor<3x70xf32>
    moe.yield %c : tensor<3x110xf32>)");
  checkCuda(kernel);
}

TEST_F(RowsCudaOnce, operandsBroadcastOverSomeLeadingDimensions) {
  ParsedKernel kernel = parseKernel("rows", "%x: tensor<4x3x9xf32>, %y: tensor<1x3x9xf32>, %z: tensor<4x1x1xf32>, %s: tensor<f32>", "tensor<4x3x9xf32>", R"(
    %a = moe.add %x, %y : tensor<4x3x9xf32>, tensor<1x3x9xf32>
    %b = moe.mul %a, %z : tensor<4x3x9xf32>, tensor<4x1x1xf32>
    %c = moe.mul %b, %s : tensor<4x3x9xf32>, tensor<f32>
    %n = moe.layer_norm %c eps 1.0e-6 of tensor<4x3x9xf32>
    moe.yield %n : tensor<4x3x9xf32>)");
  checkCuda(kernel);
}

TEST_F(RowsCudaOnce, selectTakesTiesByIndexAndNanLast) {
  float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  std::vector<float> scores = {1,   3, 3, 2,     3, nan, nan,   nan,      nan, nan,      -infinity, nan, -infinity,
                               nan, 5, 0, -0.0f, 0, -1,  -0.0f, infinity, 1,   infinity, 2,         nan};
  for (int k : {1, 2, 3, 5}) {
    ParsedKernel kernel = parseKernel("rows", "%x: tensor<5x5xf32>", fmt::format("tensor<5x{0}xf32>, tensor<5x{0}xi32>", k),
                                      fmt::format("%v, %i = moe.select %x k {0} : tensor<5x5xf32>\n"
                                                  "moe.yield %v, %i : tensor<5x{0}xf32>, tensor<5x{0}xi32>",
                                                  k));
    CudaOptions options;
    options.check.inputs = {Tensor::of(scores, {5, 5})};
    options.check.exact = true;
    checkCuda(kernel, options);
  }
}

TEST_F(RowsCudaOnce, softmaxOfSelectedScores) {
  for (const char* element : {"f32", "f64", "bf16"})
    for (int width : {67, 1500}) {
      ParsedKernel kernel = parseKernel("rows", fmt::format("%x: tensor<9x{}x{}>", width, element), fmt::format("tensor<9x6x{}>, tensor<9x6xi32>", element),
                                        fmt::format("%v, %i = moe.select %x k 6 : tensor<9x{1}x{0}>\n %p = moe.softmax %v : tensor<9x6x{0}>\n"
                                                    "moe.yield %p, %i : tensor<9x6x{0}>, tensor<9x6xi32>",
                                                    element, width));
      checkCuda(kernel);
    }
}

TEST_F(RowsCudaOnce, drawsAreThoseOfThePhiloxHeader) {
  for (const char* element : {"f32", "f64"})
    for (const char* distribution : {"uniform", "normal"}) {
      ParsedKernel kernel =
          parseKernel("rows", fmt::format("%x: tensor<6x121x{}>", element), fmt::format("tensor<6x121x{0}>, tensor<6x121x{0}>", element),
                      fmt::format("%a = moe.random uniform \"other\" : tensor<6x121x{0}>\n"
                                  "%b = moe.random {1} \"layers.0.noise\" : tensor<6x121x{0}>\n moe.yield %a, %b : tensor<6x121x{0}>, tensor<6x121x{0}>",
                                  element, distribution));
      CudaOptions options;
      options.check.exact = true;
      checkCuda(kernel, options);
    }
}

TEST_F(RowsCudaOnce, theLargestOfSomeDraws) {
  for (int experts : {1, 4, 32, 300}) {
    ParsedKernel kernel = parseKernel("rows", "", "tensor<1x1xi32>",
                                      fmt::format("%d = moe.random uniform \"moe.gate.expert\" : tensor<1x{0}xf32>\n"
                                                  "%v, %i = moe.select %d k 1 : tensor<1x{0}xf32>\n moe.yield %i : tensor<1x1xi32>",
                                                  experts));
    CudaOptions options;
    options.check.exact = true;
    checkCuda(kernel, options);
  }
}

TEST_F(RowsCudaOnce, constants) {
  ParsedKernel kernel = parseKernel("rows", "%x: tensor<3x4xf32>", "tensor<3x4xf32>", R"(
    %two = moe.constant dense<2.0> : tensor<f32>
    %table = moe.constant dense<[1.0, -2.0, 3.0, 4.5]> : tensor<4xf32>
    %a = moe.mul %x, %two : tensor<3x4xf32>, tensor<f32>
    %y = moe.add %a, %table : tensor<3x4xf32>, tensor<4xf32>
    moe.yield %y : tensor<3x4xf32>)");
  checkCuda(kernel);
}

TEST_F(RowsCudaOnce, readsAndWritesWholeSectors) {
  for (int width : {8, 64, 1024, 4096}) {
    std::string m = fmt::format("tensor<32x{}xf32>", width), v = fmt::format("tensor<{}xf32>", width);
    ParsedKernel kernel = parseKernel("rows", fmt::format("%x: {0}, %w: {1}, %b: {1}", m, v), m,
                                      fmt::format("%n = moe.layer_norm %x weight %w : {1} bias %b : {1} eps 1.0e-5 of {0}\n moe.yield %n : {0}", m, v));
    CudaRun run = checkCuda(kernel, {.check = {.terms = 4096}});
    EXPECT_LE(run.sectorRatio(), 1.001) << width;
    // A row is read once.
    EXPECT_LE(run.counters.at(0).globalBytesRead, 32u * static_cast<unsigned>(width) * 4 * 3) << width;
    RecordProperty(fmt::format("registers_{}", width), run.mostRegisters());
  }
}

} // namespace
} // namespace moec::testing
