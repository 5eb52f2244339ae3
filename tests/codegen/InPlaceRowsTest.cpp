// Owner of: CPU kernels of rows that write a result over an argument. The same bits as in memory of its own.
#include "codegen/analysis/InPlace.h"
#include "tests/codegen/KernelCheck.h"
#include "tests/codegen/ProductCheck.h"

#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

ParsedKernel gradientOf(const std::string& dtype, int64_t rows, int64_t classes) {
  std::string scores = fmt::format("tensor<{}x{}x{}>", rows, classes, dtype), wide = fmt::format("tensor<{}x{}xf32>", rows, classes);
  std::string each = fmt::format("tensor<{}x{}>", rows, dtype == "bf16" ? "f32" : dtype), labels = fmt::format("tensor<{}xi64>", rows);
  if (dtype != "bf16")
    return parseKernel(
        "rows", fmt::format("%l: {}, %d: {}, %x: {}", labels, each, scores), scores,
        fmt::format("%g = moe.cross_entropy_grad %d, %x, %l smoothing 1.0e-1 ignore -100 : {0}, {1}, {2}  moe.yield %g : {1}", each, scores, labels));
  return parseKernel("rows", fmt::format("%l: {}, %d: {}, %x: {}", labels, each, scores), scores,
                     fmt::format(R"(
    %w = moe.cast %x to f32 : {1}
    %g = moe.cross_entropy_grad %d, %w, %l smoothing 0.0 ignore -100 : {0}, {3}, {2}
    %n = moe.cast %g to bf16 : {3}
    moe.yield %n : {1})",
                                 each, scores, labels, wide));
}

/// Labels of all classes by turns, and some that do not count.
Tensor labelsBelow(int64_t rows, int64_t classes) {
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < rows; ++row)
    labels.push_back(row % 7 == 3 ? -100 : row * 3 % classes);
  return Tensor::of(labels, {rows});
}

/// One result may lie over one argument: then all results have the bits that they have apart, whatever the threads.
void expectBitsOverScores(ParsedKernel kernel, codegen::InPlace place, int64_t classes, const std::string& target) {
  auto places = codegen::inPlaceOf(kernel.op);
  ASSERT_EQ(places.size(), 1u);
  EXPECT_EQ(places.front().output, place.output);
  EXPECT_EQ(places.front().input, place.input);
  CheckOptions options;
  options.target = target;
  options.inputs = {labelsBelow(37, classes)};
  std::vector<Tensor> inputs = inputsFor(kernel.op, options);
  LoadedKernel loaded(kernel.op, target);
  std::vector<Tensor> apart = loaded.run(inputs, {});
  for (int threads : {1, 3}) {
    std::vector<Tensor> own, outputs;
    for (const Tensor& input : inputs)
      own.push_back(input.clone());
    for (const Tensor& output : apart) {
      outputs.push_back(output.clone());
      std::memset(outputs.back().data(), 0xff, output.bytes());
    }
    outputs[place.output] = own[place.input];
    LoadedKernel::Call call;
    call.threads = threads;
    loaded.run(own, outputs, call);
    for (size_t i = 0; i < outputs.size(); ++i)
      EXPECT_EQ(std::memcmp(outputs[i].data(), apart[i].data(), apart[i].bytes()), 0) << threads << " threads, " << i;
  }
}

TEST(InPlaceRows, aCrossEntropysGradientLiesOverItsScores) {
  for (const char* dtype : {"f32", "f64", "bf16"})
    for (int64_t classes : {5, 64, 1001})
      for (const std::string& target : testTargets()) {
        SCOPED_TRACE(fmt::format("{} {} {}", dtype, classes, target));
        expectBitsOverScores(gradientOf(dtype, 37, classes), {0, 2}, classes, target);
      }
}

/// Beside the losses and what label is the highest, numbers of a row that are there before it is written over.
TEST(InPlaceRows, aGradientBesideItsLossLiesOverTheScores) {
  for (const char* dtype : {"f32", "f64"})
    for (int64_t classes : {5, 1001, 3000})
      for (const std::string& target : testTargets()) {
        SCOPED_TRACE(fmt::format("{} {} {}", dtype, classes, target));
        std::string scores = fmt::format("tensor<37x{}x{}>", classes, dtype), each = fmt::format("tensor<37x{}>", dtype);
        ParsedKernel kernel =
            parseKernel("rows", fmt::format("%l: tensor<37xi64>, %x: {}, %d: {}", scores, each), fmt::format("{}, tensor<37xi1>, {}", each, scores),
                        fmt::format(R"(
    %e = moe.cross_entropy %x, %l smoothing 1.0e-1 ignore -100 : {0}, tensor<37xi64>
    %t = moe.is_top %x, %l ignore -100 : {0}, tensor<37xi64>
    %g = moe.cross_entropy_grad %d, %x, %l smoothing 1.0e-1 ignore -100 : {1}, {0}, tensor<37xi64>
    moe.yield %e, %t, %g : {1}, tensor<37xi1>, {0})",
                                    scores, each));
        expectBitsOverScores(std::move(kernel), {2, 1}, classes, target);
      }
}

/// Where more is made of the scores, or the result is another shape or dtype, they stay.
TEST(InPlaceRows, scoresThatAreNeededStay) {
  std::string types = "%d: tensor<3xf32>, %x: tensor<3x5xf32>, %l: tensor<3xi64>";
  std::string gradient = "%g = moe.cross_entropy_grad %d, %x, %l smoothing 0.0 ignore -100 : tensor<3xf32>, tensor<3x5xf32>, tensor<3xi64>  ";
  EXPECT_TRUE(codegen::inPlaceOf(parseKernel("rows", types, "tensor<3x5xf32>, tensor<3xf32>", gradient + R"(
    %s = moe.log_sum_exp %x : tensor<3x5xf32>
    moe.yield %g, %s : tensor<3x5xf32>, tensor<3xf32>)")
                                     .op)
                  .empty());
  EXPECT_TRUE(codegen::inPlaceOf(parseKernel("rows", types, "tensor<3x5xf32>, tensor<3xf32>", gradient + R"(
    %s = moe.cross_entropy %x, %l smoothing 0.0 ignore -100 : tensor<3x5xf32>, tensor<3xi64>
    moe.yield %g, %s : tensor<3x5xf32>, tensor<3xf32>)")
                                     .op)
                  .empty());
  EXPECT_TRUE(codegen::inPlaceOf(parseKernel("rows", types, "tensor<3x5xf32>", gradient + R"(
    %s = moe.add %g, %x : tensor<3x5xf32>, tensor<3x5xf32>
    moe.yield %s : tensor<3x5xf32>)")
                                     .op)
                  .empty());
  EXPECT_TRUE(codegen::inPlaceOf(parseKernel("rows", types, "tensor<3x5xbf16>", gradient + R"(
    %s = moe.cast %g to bf16 : tensor<3x5xf32>
    moe.yield %s : tensor<3x5xbf16>)")
                                     .op)
                  .empty());
}

/// What stands at another element of the product than its own, or goes through it, stays.
TEST(InPlaceRows, whatAProductReadsOtherwiseStays) {
  std::string routing = "!moe.routing<3 experts, \"t\" tokens, 2 choices>", rows = "tensor<?x8xf32, #moe.sizes<\"2*t\", \"8\">>";
  std::string types = fmt::format("%a: {0}, %r: {1}, %w: tensor<3x8x8xf32>, %b: tensor<8xf32>", rows, routing);
  std::string product = fmt::format("%p = moe.grouped_matmul %a, %w, %r : {0}, tensor<3x8x8xf32>, {1}  ", rows, routing);
  EXPECT_TRUE(
      codegen::inPlaceOf(parseKernel("expert_mid", types, rows, product + fmt::format("%s = moe.add %p, %a : {0}, {0}  moe.yield %s : {0}", rows)).op).empty());
  EXPECT_TRUE(
      codegen::inPlaceOf(parseKernel("expert_mid", types, rows, product + fmt::format("%s = moe.add %p, %b : {0}, tensor<8xf32>  moe.yield %s : {0}", rows)).op)
          .empty());
}

/// Large results are stored past the caches, but not over an argument whose lines have just been read.
TEST(InPlaceRows, largeResultsOverArgumentsStayInTheCaches) {
  auto context = makeContext();
  std::string error;
  auto emitter = codegen::makeEmitter("cpu:x86-64-v4", error);
  ASSERT_TRUE(emitter) << error;
  for (bool isOver : {false, true}) {
    KernelMaker maker(*context); // 32 MiB of results
    mlir::Value rows = maker.tensor(DType::F32, {"524288", "8"}), routing = maker.routing(3, "262144", 2), w = Weights(16)(maker, DType::F32, {3, 16, 8});
    mlir::Value other = maker.tensor(DType::F32, {isOver ? "524288" : "1", "16"}), y = maker.make<ir::GroupedMatmulOp>(rows, w, routing);
    ir::KernelOp kernel = maker.finish("expert_mid", {maker.make<ir::MulOp>(y, other)});
    EXPECT_EQ(codegen::inPlaceOf(kernel).size(), isOver ? 1u : 0u);
    kernel.setScheduleAttr(emitter->chooseSchedule(kernel));
    auto text = emitter->print(kernel, codegen::CodeText::Llvm);
    ASSERT_TRUE(succeeded(text));
    EXPECT_EQ(text->find("!nontemporal") == std::string::npos, isOver);
  }
}

} // namespace
} // namespace moec::testing
