// `moec check --train` on models of the zoo: each launch of a step on the CPU against the reference, then losses, gradients, parameters and states
// (tests/e2e/TrainingTest.cpp has every model). And the memory of a compiled model's training, to the byte.

#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/MemoryForecast.h"
#include "runtime/Compile.h"
#include "runtime/Training.h"
#include "tests/cli/JsonSchema.h"
#include "tests/cli/MemoryCounter.h"
#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

using namespace moec;
using namespace moec::test;
using nlohmann::json;

namespace {

const fs::path kZoo = MOEC_SOURCE "/models/zoo";

std::string plainName(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

class CheckOfTraining : public CommandTest, public testing::WithParamInterface<std::string> {
protected:
  CheckOfTraining() { shareCompiledKernels(); }
};

TEST_P(CheckOfTraining, AgreesWithTheReference) {
  std::string model = (kZoo / (GetParam() + ".json")).string();
  Outcome outcome = moec({"check", "--train", model, "--target", "cpu:x86-64-v3", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  json found = json::parse(outcome.out);
  EXPECT_TRUE(found["passed"]);
  EXPECT_THAT(JsonSchema(json::parse(slurp(fs::path(MOEC_SOURCE) / "docs/schemas/check.json"))).problems(found), testing::IsEmpty());
  std::set<std::string> parameters, gradients;
  for (const auto& output : found["outputs"]) {
    std::string name = output["name"];
    if (output["kind"] == "parameter")
      parameters.insert(name);
    if (output["kind"] == "state" && name.ends_with(".gradient"))
      gradients.insert(name.substr(0, name.size() - std::string(".gradient").size()));
  }
  EXPECT_FALSE(parameters.empty());
  EXPECT_EQ(parameters, gradients); // every gradient that a step takes is compared
}

class CheckOfTrainingOnTheEmulator : public CommandTest {
protected:
  CheckOfTrainingOnTheEmulator() { shareCompiledKernels(); }
};

// The kernels of CUDA, as a GPU would run them, against the CPU's, with all checks of the emulator. The other models are among the slow tests.
TEST_F(CheckOfTrainingOnTheEmulator, AgreesWithTheCpu) {
  if (std::string missing = missingCudaCompiler(); !missing.empty())
    GTEST_SKIP() << "[SKIP] " << missing;
  Outcome outcome = moec({"check", "--train", (kZoo / "vit-moe.json").string(), "--device", "ptx-emulator:sm_90a", "--against", "cpu", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(json::parse(outcome.out)["passed"]);
}

INSTANTIATE_TEST_SUITE_P(Zoo, CheckOfTraining, testing::Values("vit-moe", "switch-lm", "hierarchical", "batched-experts"), plainName);

class MemoryOfTraining : public testing::TestWithParam<std::string> {};

TEST_P(MemoryOfTraining, IsWhatInspectForetells) {
  for (bool accumulate : {false, true}) {
    Program program = compile((kZoo / (GetParam() + ".json")).string(),
                              {.targets = {"cpu:x86-64-v3"}, .checkSizes = true, .train = true, .accumulate = accumulate, .kernelCache = sharedKernels()});
    MemoryCounter counter;
    Training training(program, "cpu", {.threads = 2, .allocator = counter.allocator()});
    Bindings sizes = cli::checkSizes(training.plan(), {});
    cli::MemoryForecast forecast = cli::forecastMemory(program, training.plan(), sizes, 2);
    training.load(initialWeights(training.plan(), 0));
    EXPECT_EQ(counter.most, forecast.loading());
    TensorMap results = training.step(cli::generatedInputs(training.plan(), sizes, 0), {.learningRate = 1e-3});
    EXPECT_EQ(counter.most, forecast.call());
    results.clear();
    EXPECT_EQ(counter.now, forecast.call() - forecast.results);
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, MemoryOfTraining, testing::Values("vit-moe", "soft-moe"), plainName);

} // namespace
