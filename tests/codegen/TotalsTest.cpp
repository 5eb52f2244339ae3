// Owner of: kernels of kind `totals`. Every result is held against the reference interpreter, for each target that this machine runs, and for any number of
// threads.
#include "tests/codegen/KernelCheck.h"
#include "tests/codegen/ManyTensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

TEST(Totals, normsOfTensorsOfManySizes) {
  for (const char* dtype : {"f32", "f64", "bf16"})
    for (const std::string& target : testTargets())
      for (int64_t block : {0, 64}) {
        SCOPED_TRACE(fmt::format("{} {} {}", dtype, target, block));
        ManyTensors norm = normOf(dtype);
        CheckOptions options;
        options.target = target;
        options.block = block;
        check(parseKernel("totals", norm.arguments, norm.results, norm.body), options);
      }
}

/// Items have several pieces of one tensor, and none of the others.
TEST(Totals, moreAreThePiecesThanTheItems) {
  for (const std::string& target : testTargets()) {
    CheckOptions options;
    options.target = target;
    options.block = 8;
    options.low = 0.5; // what is left out shows in the sum
    check(parseKernel("totals", "%x: tensor<20003xf32>, %y: tensor<13xf32>", "tensor<f32>, tensor<f32>", R"(
    %a = moe.reduce mean %x axis 0 : tensor<20003xf32>
    %b = moe.reduce mean %y axis 0 : tensor<13xf32>
    moe.yield %a, %b : tensor<f32>, tensor<f32>)"),
          options);
  }
}

/// Two sums of one tensor, and one of what is made of two.
TEST(Totals, severalSumsOfOneTensor) {
  check(parseKernel("totals", "%x: tensor<333xf32>, %y: tensor<333xf32>, %k: tensor<f32>", "tensor<f32>, tensor<f32>, tensor<f32>", R"(
    %p = moe.mul %x, %y : tensor<333xf32>, tensor<333xf32>
    %q = moe.mul %x, %k : tensor<333xf32>, tensor<f32>
    %a = moe.reduce sum %p axis 0 : tensor<333xf32>
    %b = moe.reduce sum %q axis 0 : tensor<333xf32>
    %c = moe.reduce mean %y axis 0 : tensor<333xf32>
    %d = moe.add %a, %k : tensor<f32>, tensor<f32>
    moe.yield %d, %b, %c : tensor<f32>, tensor<f32>, tensor<f32>)"));
}

/// A NaN and an infinity reach the sum.
TEST(Totals, whatIsNoNumberIsSeen) {
  for (float number : {NAN, INFINITY}) {
    std::vector<float> numbers(5000, 1.0f);
    numbers[4999] = number;
    CheckOptions options;
    options.inputs = {Tensor::of(numbers, {5000})};
    options.exact = true;
    check(parseKernel("totals", "%x: tensor<5000xf32>, %y: tensor<9xf32>", "tensor<f32>, tensor<f32>", R"(
    %a = moe.reduce sum %x axis 0 : tensor<5000xf32>
    %b = moe.reduce sum %y axis 0 : tensor<9xf32>
    moe.yield %a, %b : tensor<f32>, tensor<f32>)"),
          options);
  }
}

} // namespace
} // namespace moec::testing
