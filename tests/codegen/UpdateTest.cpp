// Owner of: kernels of kind `update`, apart from their arguments and in place. Every result is held against the reference interpreter, for each target that
// this machine runs.
#include "ir/reference/Interpreter.h"
#include "tests/codegen/KernelCheck.h"
#include "tests/codegen/ManyTensors.h"

#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

struct Update {
  std::string arguments, results, body;
  std::vector<Tensor> inputs;
  std::vector<size_t> places; // the argument whose memory each result may take
};

/// In memory of its own, then in that of its arguments: the same bits, for any number of threads and any block.
void expectUpdate(const Update& update, double low = -2, double high = 2, int64_t shortBlock = 64) {
  SCOPED_TRACE(update.body);
  for (const std::string& target : testTargets())
    for (int64_t block : {int64_t(0), shortBlock}) {
      ParsedKernel kernel = parseKernel("update", update.arguments, update.results, update.body);
      CheckOptions options;
      options.target = target;
      options.block = block;
      options.inputs = update.inputs;
      options.low = low;
      options.high = high;
      check(kernel, options);
      std::vector<Tensor> inputs = inputsFor(kernel.op, options);
      LoadedKernel loaded(kernel.op, target);
      std::vector<Tensor> apart = loaded.run(inputs, {});
      for (int threads : {1, 3}) {
        std::vector<Tensor> own, outputs;
        for (const Tensor& input : inputs)
          own.push_back(input.clone());
        for (size_t place : update.places)
          outputs.push_back(own[place]);
        LoadedKernel::Call call;
        call.threads = threads;
        loaded.run(own, outputs, call);
        for (size_t i = 0; i < outputs.size(); ++i)
          EXPECT_EQ(std::memcmp(outputs[i].data(), apart[i].data(), apart[i].bytes()), 0)
              << target << ", result " << i << " in place, " << threads << " threads";
      }
    }
}

/// Adam with decoupled decay: moments in f32, numbers of the step in f64.
Update adam(const std::string& shape) {
  std::string p = fmt::format("tensor<{}f32>", shape);
  return {fmt::format("%step: tensor<i64>, %rate: tensor<f64>, %p: {0}, %g: {0}, %m: {0}, %v: {0}", p),
          fmt::format("{0}, {0}, {0}", p),
          fmt::format(R"(
    %b1 = moe.constant dense<0.9> : tensor<f64>
    %b2 = moe.constant dense<0.999> : tensor<f64>
    %one = moe.constant dense<1.0> : tensor<f64>
    %eps = moe.constant dense<1.0e-8> : tensor<f32>
    %decay = moe.constant dense<1.0e-2> : tensor<f64>
    %t = moe.cast %step to f64 : tensor<i64>
    %l1 = moe.log %b1 : tensor<f64>
    %l2 = moe.log %b2 : tensor<f64>
    %e1 = moe.mul %l1, %t : tensor<f64>, tensor<f64>
    %e2 = moe.mul %l2, %t : tensor<f64>, tensor<f64>
    %q1 = moe.exp %e1 : tensor<f64>
    %q2 = moe.exp %e2 : tensor<f64>
    %c1 = moe.sub %one, %q1 : tensor<f64>, tensor<f64>
    %c2 = moe.sub %one, %q2 : tensor<f64>, tensor<f64>
    %r2 = moe.sqrt %c2 : tensor<f64>
    %s = moe.div %rate, %c1 : tensor<f64>, tensor<f64>
    %s32 = moe.cast %s to f32 : tensor<f64>
    %r32 = moe.cast %r2 to f32 : tensor<f64>
    %d = moe.mul %rate, %decay : tensor<f64>, tensor<f64>
    %k = moe.sub %one, %d : tensor<f64>, tensor<f64>
    %k32 = moe.cast %k to f32 : tensor<f64>
    %b1f = moe.cast %b1 to f32 : tensor<f64>
    %b2f = moe.cast %b2 to f32 : tensor<f64>
    %a1f = moe.constant dense<0.1> : tensor<f32>
    %a2f = moe.constant dense<0.001> : tensor<f32>
    %m1 = moe.mul %m, %b1f : {0}, tensor<f32>
    %m2 = moe.mul %g, %a1f : {0}, tensor<f32>
    %mn = moe.add %m1, %m2 : {0}, {0}
    %gg = moe.mul %g, %g : {0}, {0}
    %v1 = moe.mul %v, %b2f : {0}, tensor<f32>
    %v2 = moe.mul %gg, %a2f : {0}, tensor<f32>
    %vn = moe.add %v1, %v2 : {0}, {0}
    %root = moe.sqrt %vn : {0}
    %den = moe.div %root, %r32 : {0}, tensor<f32>
    %dene = moe.add %den, %eps : {0}, tensor<f32>
    %dir = moe.div %mn, %dene : {0}, {0}
    %move = moe.mul %dir, %s32 : {0}, tensor<f32>
    %pk = moe.mul %p, %k32 : {0}, tensor<f32>
    %pn = moe.sub %pk, %move : {0}, {0}
    moe.yield %pn, %mn, %vn : {0}, {0}, {0})",
                      p),
          {Tensor::of(std::vector<int64_t>{3}, {}), Tensor::of(std::vector<double>{1e-3}, {})},
          {2, 4, 5}};
}

TEST(Update, adamOfManyShapes) {
  for (const char* shape : {"64x33x", "1000x", "1x", "", "7x", "3x5x11x"})
    expectUpdate(adam(shape), 0.1, 2);
}

TEST(Update, bfloat16WithMasterWeights) {
  expectUpdate({"%rate: tensor<f64>, %p: tensor<17x31xbf16>, %m: tensor<17x31xf32>, %g: tensor<17x31xbf16>",
                "tensor<17x31xbf16>, tensor<17x31xf32>",
                R"(
    %r = moe.cast %rate to f32 : tensor<f64>
    %w = moe.cast %g to f32 : tensor<17x31xbf16>
    %d = moe.mul %w, %r : tensor<17x31xf32>, tensor<f32>
    %n = moe.sub %m, %d : tensor<17x31xf32>, tensor<17x31xf32>
    %p2 = moe.cast %n to bf16 : tensor<17x31xf32>
    moe.yield %p2, %n : tensor<17x31xbf16>, tensor<17x31xf32>)",
                {Tensor::of(std::vector<double>{0.125}, {})},
                {1, 2}});
}

/// Clipped by a norm, in f64 and f32 elementwise; the gradient that added up is left at zero, be it NaN.
TEST(Update, clippedGradientsThatAddedUp) {
  expectUpdate({"%norm: tensor<f64>, %p: tensor<50xf32>, %g: tensor<50xf32>, %q: tensor<50xf64>",
                "tensor<50xf32>, tensor<50xf32>, tensor<50xf64>",
                R"(
    %most = moe.constant dense<1.0> : tensor<f64>
    %zero = moe.constant dense<0.0> : tensor<50xf32>
    %one = moe.constant dense<1.0> : tensor<f64>
    %over = moe.compare gt %norm, %most : tensor<f64>, tensor<f64>
    %share = moe.div %most, %norm : tensor<f64>, tensor<f64>
    %scale = moe.where %over, %share, %one : tensor<i1>, tensor<f64>, tensor<f64>
    %w = moe.cast %g to f64 : tensor<50xf32>
    %c = moe.mul %w, %scale : tensor<50xf64>, tensor<f64>
    %q2 = moe.add %q, %c : tensor<50xf64>, tensor<50xf64>
    %c32 = moe.cast %c to f32 : tensor<50xf64>
    %up = moe.compare gt %g, %zero : tensor<50xf32>, tensor<50xf32>
    %n = moe.sub %p, %c32 : tensor<50xf32>, tensor<50xf32>
    %p2 = moe.where %up, %n, %p : tensor<50xi1>, tensor<50xf32>, tensor<50xf32>
    moe.yield %p2, %zero, %q2 : tensor<50xf32>, tensor<50xf32>, tensor<50xf64>)",
                {Tensor::of(std::vector<double>{4}, {})},
                {1, 2, 3}});
}

TEST(Update, copies) {
  expectUpdate({"%a: tensor<5x9xf32>, %b: tensor<5x9xf32>, %c: tensor<700xf32>, %d: tensor<700xf32>",
                "tensor<5x9xf32>, tensor<700xf32>",
                "moe.yield %b, %c : tensor<5x9xf32>, tensor<700xf32>",
                {},
                {0, 3}});
  expectUpdate({"%a: tensor<bf16>", "tensor<bf16>", "moe.yield %a : tensor<bf16>", {}, {0}});
}

/// What one result's memory held is still wanted for the other: all of a tensor is read before anything is written.
TEST(Update, twoArgumentsChangePlaces) {
  expectUpdate({"%a: tensor<5x90xf32>, %b: tensor<5x90xf32>",
                "tensor<5x90xf32>, tensor<5x90xf32>",
                R"(
    %s = moe.add %a, %b : tensor<5x90xf32>, tensor<5x90xf32>
    %d = moe.sub %b, %a : tensor<5x90xf32>, tensor<5x90xf32>
    moe.yield %d, %s : tensor<5x90xf32>, tensor<5x90xf32>)",
                {},
                {0, 1}});
}

TEST(Update, manyTensorsAtOnce) {
  ManyTensors many = manyUpdates();
  Update update{many.arguments, many.results, many.body, many.inputs, {}};
  for (auto [result, argument] : many.inPlace)
    update.places.push_back(argument);
  expectUpdate(update);
}

/// A step of plain descent.
Update descent(const std::vector<int64_t>& elements) {
  Update update{"%rate: tensor<f32>", "", "", {}, {}};
  std::string yielded;
  for (size_t i = 0; i < elements.size(); ++i) {
    std::string type = fmt::format("tensor<{}xf32>", elements[i]), comma = i ? ", " : "";
    update.arguments += fmt::format(", %p{0}: {1}, %g{0}: {1}", i, type);
    update.body += fmt::format("%d{0} = moe.mul %g{0}, %rate : {1}, tensor<f32>  %q{0} = moe.sub %p{0}, %d{0} : {1}, {1}  ", i, type);
    update.results += comma + type;
    update.places.push_back(1 + 2 * i);
    yielded += fmt::format("{}%q{}", comma, i);
  }
  update.body += "moe.yield " + yielded + " : " + update.results;
  return update;
}

/// Items have several pieces of one tensor, and none of the others.
TEST(Update, moreAreThePiecesThanTheItems) { expectUpdate(descent({20003, 13}), -2, 2, 8); }

/// Every item looks at every tensor: tiny ones are no more items than one tensor of all their elements.
TEST(Update, tinyTensorsShareItems) {
  Update update = descent(std::vector<int64_t>(300, 3));
  ParsedKernel kernel = parseKernel("update", update.arguments, update.results, update.body);
  EXPECT_EQ(LoadedKernel(kernel.op, testTargets().front()).image().stages.back().items.constant(), 1);
  CheckOptions options;
  options.block = 64;
  check(kernel, options);
  EXPECT_EQ(LoadedKernel(kernel.op, testTargets().front()).image().stages.back().items.constant(), (3 * 300 + 63) / 64);
}

/// An item's own share outweighs looking at all tensors.
TEST(Update, manySmallTensorsAreFewItems) {
  Update update = descent(std::vector<int64_t>(60, 512));
  ParsedKernel kernel = parseKernel("update", update.arguments, update.results, update.body);
  check(kernel);
  EXPECT_EQ(LoadedKernel(kernel.op, testTargets().front()).image().stages.back().items.constant(), 2);
}

/// Pieces of large tensors are longer, while there are items for many threads.
TEST(Update, largeTensorsHaveLongPieces) {
  auto blockOf = [](int64_t elements) {
    Update update = descent({elements});
    ParsedKernel kernel = parseKernel("update", update.arguments, update.results, update.body);
    std::string error;
    auto emitter = codegen::makeEmitter("cpu:x86-64-v3", error);
    mlir::DictionaryAttr schedule = emitter->chooseSchedule(kernel.op);
    EXPECT_EQ(emitter->refuse(kernel.op, schedule), std::nullopt);
    return schedule.getAs<mlir::IntegerAttr>("block").getInt();
  };
  int64_t least = blockOf(1000);
  EXPECT_EQ(blockOf(127 * least), least);
  EXPECT_EQ(blockOf(128 * least), 2 * least);
  EXPECT_EQ(blockOf(100000 * least), 16 * least);
}

/// Equal tensors share their code: as many tensors more take no more of it.
TEST(Update, codeDoesNotGrowWithTheTensors) {
  auto lengthOf = [](int64_t tensors) {
    std::vector<int64_t> elements;
    for (int64_t i = 0; i < tensors; ++i)
      elements.push_back(100 + 7 * i);
    Update update = descent(elements);
    ParsedKernel kernel = parseKernel("update", update.arguments, update.results, update.body);
    std::string error;
    auto emitter = codegen::makeEmitter("cpu:x86-64-v3", error);
    kernel.op.setScheduleAttr(emitter->chooseSchedule(kernel.op));
    auto text = emitter->print(kernel.op, codegen::CodeText::Asm);
    EXPECT_TRUE(mlir::succeeded(text));
    size_t lines = 0; // of code: data stands in lines that begin with a dot
    for (size_t at = 0, end; (end = text->find('\n', at)) != std::string::npos; at = end + 1)
      lines += text->substr(at, 2) == "\tv" || text->substr(at, 2) == "\tm";
    return lines;
  };
  size_t few = lengthOf(9), many = lengthOf(16);
  EXPECT_GT(few, 20u);
  EXPECT_LT(many, few + 20) << few << " lines of nine tensors";
}

TEST(Update, scalarsOfAStep) {
  expectUpdate({"%a: tensor<3xf32>, %b: tensor<1xf32>",
                "tensor<3xf32>",
                R"(
    %t = moe.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
    %c = moe.mul %a, %b : tensor<3xf32>, tensor<1xf32>
    %y = moe.add %c, %t : tensor<3xf32>, tensor<3xf32>
    moe.yield %y : tensor<3xf32>)",
                {},
                {0}});
}

} // namespace
} // namespace moec::testing
