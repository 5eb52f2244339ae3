// Whole programs whose weights of products are kept as bf16 or int8: against the reference by the same codes, beside the model's own weights, and their
// memory.
#include "runtime/Session.h"
#include "runtime/Weights.h"
#include "runtime/core/Error.h"
#include "runtime/core/Generation.h"
#include "runtime/core/WeightsAs.h"
#include "runtime/device/check/CheckDevice.h"
#include "runtime/io/SafeTensors.h"
#include "tests/e2e/Support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>

namespace moec::test {

namespace {

using testing::HasSubstr;

constexpr const char* kTarget = "cpu:x86-64-v3";

CompileOptions options(const std::string& weightsAs) {
  CompileOptions options;
  options.targets = {kTarget};
  options.kernelCache = sharedKernels();
  options.checkSizes = true;
  options.weightsAs = weightsAs;
  return options;
}

std::filesystem::path zoo(const std::string& name) { return sourceDir() / "models/zoo" / (name + ".json"); }
const Plan& planOf(const Program& program) { return *program.plan(kTarget, Purpose::Inference); }

std::string errorOf(const std::filesystem::path& model, const CompileOptions& options, Fault fault) {
  try {
    compile(model, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault) << error.what();
    return error.what();
  }
  return "none";
}

int64_t preparedBytes(const Plan& plan) {
  int64_t bytes = 0;
  for (const BufferInfo& buffer : plan.buffers)
    bytes += buffer.kind == BufferKind::Prepared ? bytesOf(buffer, {}) : 0;
  return bytes;
}

Tensor asBFloat16AndBack(const Tensor& weight) { return weight.cast(DType::BF16).cast(DType::F32); }

} // namespace

TEST(ConvertedWeights, AreHeldToTheReferenceAndSayWhatTheyCost) {
  Program plain = compile(zoo("vit-moe"), options(""));
  TensorMap weights = initialWeights(planOf(plain), 1), inputs = generatedInputs(planOf(plain), 2);
  auto reference = openDevice("reference"), cpu = openDevice("cpu");
  Tensor own = resultsOf(plain, *reference, weights, inputs).at("scores");
  EXPECT_TRUE(planOf(plain).weightsAs.empty());
  double before = 0;
  for (const char* as : {"bf16", "int8", "int8:128"}) {
    SCOPED_TRACE(as);
    Program program = compile(zoo("vit-moe"), options(as));
    EXPECT_EQ(planOf(program).weightsAs, WeightsAs::parse(as)->str());
    CheckReport report = check(program, cpu, reference, weights, inputs);
    EXPECT_TRUE(report.passed()) << report.describeFailures();
    double error = test::relativeError(resultsOf(program, *reference, weights, inputs).at("scores"), own);
    EXPECT_LT(error, 0.05);
    if (std::string(as) != "int8:128") // groups of 128 differ from those of 32 by less than one draw of weights from another
      EXPECT_GT(error, before);        // ever less is kept
    before = error;
  }
}

// Codes and scales of every product but the gates': of f32 a quarter and a sixteenth of that; bf16 halves.
TEST(ConvertedWeights, TakeLessMemory) {
  Program plain = compile(zoo("vit-moe"), options("")), half = compile(zoo("vit-moe"), options("bf16")), quarter = compile(zoo("vit-moe"), options("int8"));
  int64_t gates = 0;
  for (const BufferInfo& buffer : planOf(half).buffers)
    if (buffer.kind == BufferKind::Prepared && buffer.dtype == DType::F32) {
      EXPECT_THAT(buffer.name, HasSubstr(".gate."));
      gates += bytesOf(buffer, {});
    }
  EXPECT_GT(gates, 0);
  int64_t products = preparedBytes(planOf(plain)) - gates;
  EXPECT_EQ(preparedBytes(planOf(half)) - gates, products / 2);
  int64_t codes = 0, scales = 0;
  for (const BufferInfo& buffer : planOf(quarter).buffers) {
    codes += buffer.kind == BufferKind::Prepared && buffer.dtype == DType::U8 ? bytesOf(buffer, {}) : 0;
    scales += buffer.kind == BufferKind::Prepared && buffer.dtype == DType::BF16 ? bytesOf(buffer, {}) : 0;
  }
  EXPECT_EQ(codes, products / 4);
  EXPECT_EQ(preparedBytes(planOf(quarter)), codes + scales + gates);
  EXPECT_GE(scales, codes / 16);
  EXPECT_LT(scales, codes / 8); // widths that are no multiple of 32 have a scale for what is left
}

// Numbers that bf16 has pass through it unchanged: products by them have the bits of f32's. A file of them loads, too.
TEST(ConvertedWeights, WhatIsBFloat16AlreadyIsExact) {
  Program plain = compile(zoo("vit-moe"), options("")), half = compile(zoo("vit-moe"), options("bf16"));
  TensorMap weights = initialWeights(planOf(plain), 1), halves, inputs = generatedInputs(planOf(plain), 2);
  for (auto& [name, weight] : weights) {
    halves[name] = weight.cast(DType::BF16);
    weight = asBFloat16AndBack(weight);
  }
  TemporaryFolder folder;
  std::filesystem::path file = folder.path() / "bf16.safetensors";
  writeSafeTensors(file, halves);
  Session own(plain, "cpu"), loaded(half, "cpu"), placed(half, "cpu");
  own.load(weights);
  loaded.load(file);
  placed.loadForCalls(file);
  Tensor expected = own.run(inputs).at("scores"), got = loaded.run(inputs).at("scores"), later = placed.run(inputs).at("scores");
  EXPECT_EQ(std::memcmp(expected.data(), got.data(), expected.bytes()), 0);
  EXPECT_EQ(std::memcmp(expected.data(), later.data(), expected.bytes()), 0);
  // A program that converts nothing takes its own dtype alone.
  EXPECT_THROW(Session(plain, "cpu").load(file), Error);
}

TEST(ConvertedWeights, OfASmallLayerTakeItApart) {
  TemporaryFolder folder;
  std::filesystem::path model = folder.path() / "layer.json";
  std::ofstream(model) << R"({"name": "layer", "inputs": {"x": {"shape": ["tokens", 24]}}, "check": {"tokens": 33}, "model": [
    {"kind": "moe", "gate": {"kind": "top_k", "top_k": 2}, "experts": {"kind": "mlp", "count": 4, "hidden": 40}}, {"kind": "linear", "out": 8}]})";
  for (const char* as : {"", "bf16", "int8"}) {
    Program program = compile(model, options(as));
    const Plan& plan = planOf(program);
    bool isWhole = std::ranges::any_of(plan.forward, [](const LaunchInfo& launch) { return launch.kind == "moe_layer"; });
    EXPECT_EQ(isWhole, std::string(as).empty()) << as;
    CheckReport report = check(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 1), generatedInputs(plan, 2));
    EXPECT_TRUE(report.passed()) << as << "\n" << report.describeFailures();
  }
}

TEST(ConvertedWeights, OfProgramsForEvaluationAndGeneration) {
  CompileOptions both = options("int8");
  both.evaluate = true;
  both.generate = GenerationSizes{1, 6};
  Program program = compile(zoo("switch-lm"), both);
  for (Purpose purpose : {Purpose::Evaluation, Purpose::Generation})
    EXPECT_EQ(program.plan(kTarget, purpose)->weightsAs, "int8:32");
  const Plan& plan = *program.plan(kTarget, Purpose::Generation);
  TensorMap inputs{{"tokens", Tensor::of<int64_t>({3, 1, 2}, {1, 3})}, {kPositionInput, Tensor::of<int64_t>({2}, {})}};
  CheckReport report = check(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 1), inputs, {}, tolerance, Purpose::Generation);
  EXPECT_TRUE(report.passed()) << report.describeFailures();
}

TEST(ConvertedWeights, WhatCannotBeConvertedIsRefused) {
  EXPECT_THAT(errorOf(zoo("vit-moe"), options("int4"), Fault::Usage),
              HasSubstr("--weights-as int4: expected bf16, int8 or int8:GROUP with a group from 8 to 4096"));
  EXPECT_THAT(errorOf(zoo("vit-moe"), options("int8:4"), Fault::Usage), HasSubstr("--weights-as int8:4: expected"));
  CompileOptions training = options("int8");
  training.train = true;
  EXPECT_THAT(errorOf(zoo("vit-moe"), training, Fault::Usage), HasSubstr("leave it or --train out"));
  CompileOptions gpu = options("bf16");
  gpu.targets = {"cuda:sm_90a"};
  EXPECT_THAT(errorOf(zoo("vit-moe"), gpu, Fault::Usage), HasSubstr("those of cuda:sm_90a do not yet"));
  for (const char* dtype : {R"({"dtype": "f64"})", R"({"dtype": "bf16"})"})
    EXPECT_THAT(errorOf(patchedModel("vit-moe.json", dtype), options("int8"), Fault::Usage), HasSubstr("weights of f64 and of bf16 stay as they are"));
}

} // namespace moec::test
