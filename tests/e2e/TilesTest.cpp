// Models of bf16 for a target with tiles: which kernels have them, what is packed for them, and that results agree with the reference. The target is the one
// whose tiles are other instructions' work: every machine with AVX2 runs it, when it is named.

#include "runtime/Session.h"
#include "runtime/Weights.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/Error.h"
#include "runtime/device/check/CheckDevice.h"
#include "tests/e2e/Support.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace moec::test {

namespace {

using testing::HasSubstr;

constexpr const char* kSoft = "cpu:x86-64-v3+soft-tiles";
constexpr const char* kHardware = "cpu:x86-64-v4+amx";

/// Dense layers, the last of a depth that no tiles have, and experts that no cache holds, so that they are launches of their own.
std::filesystem::path layers(const TemporaryFolder& folder, const std::string& dtype) {
  std::filesystem::path path = folder.path() / "layers.json";
  std::ofstream(path) << fmt::format(R"({{"name": "layers", "dtype": "{}", "inputs": {{"x": {{"shape": ["tokens", 64]}}}}, "model": [
    {{"kind": "linear", "out": 96, "name": "wide"}}, {{"kind": "linear", "out": 64, "name": "narrow"}},
    {{"kind": "moe", "gate": {{"kind": "gshard", "capacity": 1.2, "random_routing": false}}, "experts": {{"kind": "mlp", "count": 4, "hidden": 384, "activation": "gelu"}}}},
    {{"kind": "linear", "out": 40, "name": "odd"}}, {{"kind": "linear", "out": 10, "name": "scores"}}], "check": {{"tokens": 70}}}})",
                                     dtype);
  return path;
}

CompileOptions optionsFor(const std::string& target) {
  CompileOptions options;
  options.targets = {target};
  options.kernelCache = sharedKernels();
  options.checkSizes = true;
  return options;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// The module behind phase schedule.
std::string scheduled(const std::filesystem::path& model, const std::string& target, bool train = false) {
  CompileOptions options = optionsFor(target);
  options.stopAfter = "schedule";
  options.train = train;
  return compileFile(model, options).text;
}

class Tiles : public testing::Test {
protected:
  void SetUp() override {
    if (auto missing = missingFeatures(kSoft); !missing.empty())
      GTEST_SKIP() << fmt::format("[SKIP] {}: this machine lacks {}", kSoft, fmt::join(missing, ", "));
  }
  TemporaryFolder folder_;
};

} // namespace

TEST_F(Tiles, AreOfProductsOfBFloat16Alone) {
  std::string text = scheduled(layers(folder_, "bf16"), kSoft);
  EXPECT_TRUE(has(text, "tiles = 1"));
  for (const char* weight : {"wide", "narrow", "moe.experts.up", "moe.experts.down"})
    EXPECT_TRUE(has(text, fmt::format("moe.prepared @{}.weight.packed.32.pairs :", weight))) << weight;
  EXPECT_TRUE(has(text, "moe.prepared @odd.weight.packed.16.pairs :")) << "40 columns: 48 of one tile's width are fewer than 64";
  EXPECT_TRUE(has(text, "moe.prepared @scores.weight.packed.16 :")) << "a depth of 40";
  struct Without {
    const char *dtype, *target;
    int nr; // two vectors
  };
  for (const auto& [dtype, target, nr] : {Without{"f32", kSoft, 32}, {"bf16", "cpu:x86-64-v3", 16}}) {
    std::string without = scheduled(layers(folder_, dtype), target);
    EXPECT_TRUE(has(without, fmt::format("moe.prepared @wide.weight.packed.{} :", nr))) << dtype << " " << target;
    EXPECT_FALSE(has(without, "tiles = ") || has(without, "pairs")) << dtype << " " << target;
  }
}

// The registers are asked for where a program uses them: a system that refuses them runs the others.
TEST_F(Tiles, AreNotUsedByProgramsOfF32) { EXPECT_FALSE(compile(layers(folder_, "f32"), optionsFor(kHardware)).plan(kHardware)->usesTiles); }

TEST_F(Tiles, AgreeWithTheReferenceWhateverTheThreads) {
  Program program = compile(layers(folder_, "bf16"), optionsFor(kSoft));
  const Plan& plan = *program.plan(kSoft);
  EXPECT_TRUE(plan.usesTiles);
  TensorMap weights = initialWeights(plan, 1), inputs = generatedInputs(plan, 2);
  CheckReport report = check(program, openDevice("cpu"), openDevice("reference"), weights, inputs);
  EXPECT_TRUE(report.passed()) << report.describeFailures();
  std::vector<std::vector<uint8_t>> results;
  for (int threads : {1, 2}) {
    Session session(program, "cpu", {.threads = threads});
    session.load(weights);
    results.push_back(bytesOf(session.run(inputs)));
  }
  EXPECT_EQ(results[0], results[1]);
}

// Weights of experts are packed again in each step, those of the gradient of their rows with their dimensions exchanged.
TEST_F(Tiles, AgreeWithTheReferenceInAStepOfTraining) {
  auto model = patchedModel("vit-moe.json", R"({"dtype": "bf16", "check": {"batch": 1}})");
  std::string text = scheduled(model, kSoft, /*train=*/true);
  EXPECT_TRUE(has(text, "tiles = 1") && has(text, "nr 32 pairs"));
  CompileOptions options = optionsFor(kSoft);
  options.train = true;
  Program program = compile(model, options);
  const Plan& plan = *program.plan(kSoft, Purpose::Training);
  CheckReport report = checkTraining(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 1), modelInputs(plan), {.learningRate = 1e-3});
  EXPECT_TRUE(report.passed()) << report.describeFailures();
}

// A machine without tiles compiles for them, and says what it lacks when it is to run that.
TEST_F(Tiles, RunOnlyWhereTheyAre) {
  Program program = compile(layers(folder_, "bf16"), optionsFor(kHardware));
  EXPECT_TRUE(program.plan(kHardware)->usesTiles);
  std::vector<std::string> missing = missingFeatures(kHardware);
  if (missing.empty()) {
    const Plan& plan = *program.plan(kHardware);
    TensorMap weights = initialWeights(plan, 1), inputs = generatedInputs(plan, 2);
    CheckReport report = check(program, openDevice("cpu"), openDevice("reference"), weights, inputs);
    EXPECT_TRUE(report.passed()) << report.describeFailures();
    return;
  }
  try {
    Session session(program, "cpu");
    FAIL() << "it runs on a machine that lacks " << fmt::format("{}", fmt::join(missing, ", "));
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Device);
    EXPECT_THAT(error.what(), HasSubstr(fmt::format("{}: this CPU lacks {}", kHardware, fmt::join(missing, ", "))));
  }
}

} // namespace moec::test
