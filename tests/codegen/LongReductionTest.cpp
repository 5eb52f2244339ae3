// Owner of: reductions of many elements into few numbers in kernels of loops: biases' gradients, means of losses, sums of squares. Every result is held
// against the reference interpreter, for each target that this machine runs, and the bits of three threads against those of one.
#include "tests/codegen/KernelCheck.h"

#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

void expectLoops(const std::string& arguments, const std::string& results, const std::string& body, CheckOptions options, size_t stages) {
  SCOPED_TRACE(arguments + " " + body);
  for (const std::string& target : testTargets()) {
    options.target = target;
    ParsedKernel kernel = parseKernel("loops", arguments, results, body);
    check(kernel, options);
    EXPECT_EQ(LoadedKernel(kernel.op, target).image().stages.size(), stages) << "blocks of their own, then the results";
  }
}

std::string rowsBy(const std::string& width, const std::string& element) {
  return fmt::format("tensor<?x{0}x{1}, #moe.sizes<\"t\", \"{0}\">>", width, element);
}

TEST(LongReductions, gradientOfABias) {
  for (const char* element : {"f32", "f64", "bf16"})
    for (const char* kind : {"sum", "mean", "max"})
      for (const char* width : {"37", "512"}) {
        std::string x = rowsBy(width, element), y = fmt::format("tensor<{}x{}>", width, element);
        for (int64_t rows : {1, 31, 1000}) {
          CheckOptions options;
          options.bindings = {{"t", rows}};
          options.terms = rows;
          expectLoops(
              "%x: " + x + ", %z: " + x, y,
              fmt::format("%m = moe.mul %x, %z : {0}, {0}\n %r = moe.reduce {1} %m axis 0 : {0}\n %y = moe.neg %r : {2}\n moe.yield %y : {2}", x, kind, y),
              options, 3);
        }
      }
}

TEST(LongReductions, sumOfSquaresOfAMatrix) {
  for (const char* element : {"f32", "f64", "bf16"}) {
    std::string x = fmt::format("tensor<301x257x{}>", element), flat = fmt::format("tensor<77357x{}>", element), y = fmt::format("tensor<{}>", element);
    CheckOptions options;
    options.terms = 77357;
    expectLoops(
        "%x: " + x, y,
        fmt::format("%f = moe.reshape %x : {0} -> {1}\n %s = moe.mul %f, %f : {1}, {1}\n %r = moe.reduce sum %s axis 0 : {1}\n moe.yield %r : {2}", x, flat, y),
        options, 3);
  }
}

/// In two steps: over the last axis, then over what is left.
TEST(LongReductions, meanOfMeans) {
  std::string x = "tensor<?x50xf32, #moe.sizes<\"t\", \"50\">>", column = "tensor<?xf32, #moe.sizes<\"t\">>";
  for (int64_t rows : {1, 700}) {
    CheckOptions options;
    options.bindings = {{"t", rows}};
    expectLoops("%x: " + x, "tensor<f32>",
                fmt::format("%a = moe.reduce mean %x axis 1 : {}\n %b = moe.reduce mean %a axis 0 : {}\n moe.yield %b : tensor<f32>", x, column), options, 3);
  }
}

TEST(LongReductions, eachOfAFewLongRows) {
  CheckOptions options;
  options.terms = 40001;
  expectLoops("%x: tensor<3x40001xf32>, %s: tensor<3xf32>", "tensor<3xf32>, tensor<3xf32>", R"(
    %a = moe.reduce sum %x axis 1 : tensor<3x40001xf32>
    %b = moe.reduce max %x axis 1 : tensor<3x40001xf32>
    %y = moe.mul %a, %s : tensor<3xf32>, tensor<3xf32>
    moe.yield %y, %b : tensor<3xf32>, tensor<3xf32>)",
              options, 5);
}

TEST(LongReductions, overTheMiddleAxis) {
  CheckOptions options;
  options.bindings = {{"t", 333}};
  options.terms = 333;
  std::string x = "tensor<3x?x21xf32, #moe.sizes<\"3\", \"t\", \"21\">>";
  expectLoops("%x: " + x, "tensor<21x3xf32>",
              fmt::format("%a = moe.reduce sum %x axis 1 : {}\n %y = moe.transpose %a [1, 0] : tensor<3x21xf32>\n moe.yield %y : tensor<21x3xf32>", x), options,
              3);
}

TEST(LongReductions, aNanIsTheMaximum) {
  std::vector<float> x(40000, 1);
  x[33333] = NAN;
  CheckOptions options;
  options.inputs = {Tensor::of(x, {2, 20000})};
  expectLoops("%x: tensor<2x20000xf32>", "tensor<2xf32>", "%a = moe.reduce max %x axis 1 : tensor<2x20000xf32>\n moe.yield %a : tensor<2xf32>", options, 3);
}

TEST(LongLines, areCutInPieces) {
  CheckOptions options;
  std::string x = "tensor<30011xf32>", stack = "tensor<5x30011xf32>"; // with a sum of few, whose pieces meet
  expectLoops(
      "%x: " + x + ", %z: " + stack, x,
      fmt::format(
          "%s = moe.reduce sum %z axis 0 : {1}\n %f = moe.slice %s axis 0 from \"11\" size \"30000\" : {0}\n %g = moe.slice %s axis 0 from \"0\" size \"11\" : {0}\n"
          "%c = moe.concat %f, %g axis 0 : tensor<30000xf32>, tensor<11xf32>\n %a = moe.add %s, %c : {0}, {0}\n %y = moe.mul %a, %x : {0}, {0}\n moe.yield %y : {0}",
          x, stack),
      options, 1);
  ParsedKernel kernel = parseKernel("loops", "%x: " + x, x, fmt::format("%y = moe.exp %x : {0}\n moe.yield %y : {0}", x));
  EXPECT_GT(LoadedKernel(kernel.op).image().stages[0].items.evaluate({}), 4);
}

} // namespace
} // namespace moec::testing
