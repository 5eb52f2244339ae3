// Programs with a plan for training: steps on the CPU against the reference, and what their plans and phases hold.

#include "runtime/Training.h"
#include "runtime/Weights.h"
#include "runtime/core/Error.h"
#include "runtime/core/Tolerance.h"
#include "runtime/device/check/CheckDevice.h"
#include "tests/e2e/Support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>

namespace moec::test {

namespace {

using testing::HasSubstr;

constexpr const char* kTarget = "cpu:x86-64-v3";

/// vit-moe with an optimizer that has states and clips.
std::filesystem::path model() { return patchedModel("vit-moe.json", R"({"optimizer": {"kind": "adamw", "weight_decay": 0.01, "clip_norm": 1.0}})"); }

CompileOptions training(bool accumulate = false) {
  CompileOptions options;
  options.targets = {kTarget};
  options.kernelCache = sharedKernels();
  options.checkSizes = true;
  options.train = true;
  options.accumulate = accumulate;
  return options;
}

const Plan& trainingPlan(const Program& program) { return *program.plan(kTarget, Purpose::Training); }

std::set<std::string> symbols(const std::vector<LaunchInfo>& launches) {
  std::set<std::string> result;
  for (const LaunchInfo& launch : launches)
    result.insert(launch.kernel);
  return result;
}

} // namespace

TEST(Training, AStepAgreesWithTheReference) {
  Program program = compile(model(), training());
  const Plan& plan = trainingPlan(program);
  CheckReport report = checkTraining(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 1), modelInputs(plan), {.learningRate = 1e-3});
  EXPECT_TRUE(report.passed()) << report.describeFailures();
}

class TrainingOfTheZoo : public testing::TestWithParam<std::string> {};

// Gates, experts, losses and blocks of every model, each with the optimizer that its file names; what is cheap is computed again, which `moec check --train` of
// the same models leaves out.
TEST_P(TrainingOfTheZoo, AgreesWithTheReference) {
  CompileOptions options = training(/*accumulate=*/true);
  options.recompute = true;
  Program program = compile(sourceDir() / "models/zoo" / (GetParam() + ".json"), options);
  const Plan& plan = trainingPlan(program);
  CheckReport report = checkTraining(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 2), modelInputs(plan), {.learningRate = 1e-2});
  EXPECT_TRUE(report.passed()) << report.describeFailures();
  Training step(program, "cpu");
  step.load(initialWeights(plan, 2));
  TensorMap results = step.step(modelInputs(plan), {.learningRate = 1e-2});
  EXPECT_TRUE(std::isfinite(results.at("loss").toDoubles()[0]));
  EXPECT_GT(results.at("gradient_norm").toDoubles()[0], 0);
}

INSTANTIATE_TEST_SUITE_P(All, TrainingOfTheZoo, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (auto& entry : std::filesystem::directory_iterator(sourceDir() / "models/zoo"))
                             names.push_back(entry.path().stem().string());
                           std::sort(names.begin(), names.end());
                           return names;
                         }()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

/// What a training has after two steps, results of the second among it.
TensorMap afterTwoSteps(const Program& program, int threads) {
  Training training(program, "cpu", {.threads = threads});
  const Plan& plan = training.plan();
  training.load(initialWeights(plan, 2));
  TensorMap all;
  for (int step = 0; step < 2; ++step)
    all = training.step(modelInputs(plan), {.learningRate = 1e-2, .seed = 3});
  all.merge(training.weights());
  all.merge(training.state());
  return all;
}

TEST(Training, BitsDoNotDependOnThreadsNorOnWhatIsComputedAgain) {
  for (const char* name : {"vit-moe.json", "switch-lm.json"}) {
    CompileOptions again = training();
    again.recompute = true;
    Program program = compile(sourceDir() / "models/zoo" / name, training());
    TensorMap one = afterTwoSteps(program, 1);
    for (TensorMap other : {afterTwoSteps(program, 2), afterTwoSteps(program, 5), afterTwoSteps(compile(sourceDir() / "models/zoo" / name, again), 2)}) {
      ASSERT_EQ(one.size(), other.size());
      for (const auto& [what, tensor] : one)
        EXPECT_EQ(std::memcmp(tensor.data(), other.at(what).data(), tensor.bytes()), 0) << name << ": " << what;
    }
  }
}

// Without a factor that clips, weights change where their gradients are made; with accumulation the gradients are states, and one update changes all.
TEST(Training, WeightsChangeBesideTheirGradientsByTheSameNumbers) {
  struct Case {
    const char *name, *changes;
    int least;          // of products that change weights
    bool again = false; // what is cheap is computed again
  };
  for (auto [name, changes, least, again] :
       {Case("batched-experts.json", R"({"optimizer": {"kind": "adam"}})", 4), Case("batched-experts.json", R"({"optimizer": {"kind": "sgd"}})", 4),
        Case("vit-moe.json", R"({"optimizer": {"kind": "lion"}})", 4), Case("hf-switch.json", R"({"optimizer": {"kind": "sgd", "momentum": 0.9}})", 4, true),
        Case("switch-lm.json", R"({"dtype": "bf16", "optimizer": {"kind": "adam"}})", 0)}) {
    SCOPED_TRACE(std::string(name) + " with " + changes);
    std::filesystem::path file = patchedModel(name, changes);
    CompileOptions options = training(), adding = training(/*accumulate=*/true);
    options.recompute = adding.recompute = again;
    Program program = compile(file, options), apart = compile(file, adding);
    const Plan& plan = trainingPlan(program);
    EXPECT_GE(std::ranges::count(plan.forward, "weight_update", &LaunchInfo::kind), least);
    EXPECT_EQ(std::ranges::count(trainingPlan(apart).forward, "weight_update", &LaunchInfo::kind), 0);
    CheckReport report = checkTraining(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 2), modelInputs(plan), {.learningRate = 1e-2});
    EXPECT_TRUE(report.passed()) << report.describeFailures();

    TensorMap one = afterTwoSteps(program, 1), several = afterTwoSteps(program, 3), parts = afterTwoSteps(apart, 2);
    for (const auto& [what, tensor] : one) {
      EXPECT_EQ(std::memcmp(tensor.data(), several.at(what).data(), tensor.bytes()), 0) << what;
      if (what != "gradient_norm") // its squares are added up in another order
        EXPECT_EQ(tensor.toDoubles(), parts.at(what).toDoubles()) << what;
    }
    double norm = parts.at("gradient_norm").toDoubles()[0];
    EXPECT_NEAR(one.at("gradient_norm").toDoubles()[0], norm, gradientTolerance(one.at("gradient_norm").dtype()) * norm);
  }
}

// The f32 master weights are what steps change, and the bf16 parameters their rounding.
TEST(Training, ABFloat16ModelKeepsMasterWeights) {
  Program program = compile(patchedModel("switch-lm.json", R"({"dtype": "bf16"})"), training(/*accumulate=*/true));
  const Plan& plan = trainingPlan(program);
  CheckReport report = checkTraining(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 1), modelInputs(plan), {.learningRate = 1e-3});
  EXPECT_TRUE(report.passed()) << report.describeFailures();
  Training steps(program, "cpu");
  TensorMap weights = initialWeights(plan, 1);
  steps.load(weights);
  size_t masters = 0;
  for (int step = 0; step < 3; ++step) {
    TensorMap parameters = steps.weights(), states = steps.state();
    for (const auto& [name, parameter] : parameters)
      if (auto master = states.find(name + ".master"); master != states.end()) {
        ++masters;
        EXPECT_EQ(master->second.cast(DType::BF16).toDoubles(), parameter.toDoubles()) << name << " at step " << step;
      }
    steps.step(modelInputs(plan), {.learningRate = 1e-4}); // less than half a unit of many bf16 weights
  }
  auto isBFloat16 = [](const auto& entry) { return entry.second.dtype() == DType::BF16; }; // a router's weights are f32
  EXPECT_EQ(masters, 3 * static_cast<size_t>(std::ranges::count_if(weights, isBFloat16)));
}

// A head outside of the loss: no gradient reaches it, and weight decay leaves it alone.
TEST(Training, WhatTheLossDoesNotDependOnStaysAsItIs) {
  TemporaryFolder folder;
  std::ofstream(folder.path() / "model.json") << R"({"name": "two-heads", "inputs": {"x": {"shape": ["batch", 4]}, "t": {"shape": ["batch", 2], "for": "loss"}},
    "model": [{"kind": "linear", "out": 2, "name": "y"}, {"kind": "linear", "out": 3, "name": "unused"}], "outputs": ["y", "unused"],
    "loss": {"kind": "mse", "prediction": "y", "target": "t"}, "optimizer": {"kind": "adamw", "weight_decay": 0.5}, "check": {"batch": 3}})";
  Program program = compile(folder.path() / "model.json", training());
  const Plan& plan = trainingPlan(program);
  for (const ParameterInfo& state : plan.states)
    EXPECT_THAT(state.name, testing::Not(testing::StartsWith("unused"))) << state.name;
  Training step(program, "cpu");
  TensorMap weights = initialWeights(plan, 2);
  step.load(weights);
  step.step(modelInputs(plan), {.learningRate = 0.1});
  TensorMap trained = step.weights();
  EXPECT_EQ(trained.at("unused.weight").toDoubles(), weights.at("unused.weight").toDoubles());
  EXPECT_NE(trained.at("y.weight").toDoubles(), weights.at("y.weight").toDoubles());
}

TEST(Training, LabelsOutsideOfTheClassesAreRefused) {
  Program program = compile(model(), training());
  Training step(program, "cpu");
  step.load(initialWeights(step.plan(), 2));
  TensorMap inputs = modelInputs(step.plan());
  for (int64_t label : {10, -1}) {
    inputs.at("label").as<int64_t>()[1] = label;
    try {
      step.step(inputs, {.learningRate = 1e-3});
      ADD_FAILURE() << "the label " << label << " was taken";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("input 'label': element 1 is " + std::to_string(label) + ", expected 0 to 9 (or -100"));
    }
  }
  EXPECT_EQ(step.steps(), 0);
  inputs.at("label").as<int64_t>()[1] = -100; // does not count
  EXPECT_TRUE(std::isfinite(step.step(inputs, {.learningRate = 1e-3}).at("loss").toDoubles()[0]));
  EXPECT_EQ(step.steps(), 1);
}

TEST(Training, GradientsThatAddUpAgreeWithTheReference) {
  Program program = compile(model(), training(/*accumulate=*/true));
  const Plan& plan = trainingPlan(program);
  EXPECT_FALSE(plan.apply.empty());
  CheckReport report = checkTraining(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 1), modelInputs(plan), {.learningRate = 1e-3});
  EXPECT_TRUE(report.passed()) << report.describeFailures();
}

TEST(Training, OneProgramHoldsBothPlansAndEqualKernelsOnce) {
  CompileOptions options = training();
  std::filesystem::path file = model();
  CompileResult result = compileFile(file, options);
  const Program& program = *result.program;
  ASSERT_EQ(program.data().plans.size(), 2u);
  EXPECT_EQ(program.data().plans[0].purpose, Purpose::Inference);
  EXPECT_EQ(program.data().plans[1].purpose, Purpose::Training);

  options.train = false;
  Program alone = compile(file, options);
  EXPECT_EQ(toJson(alone.data().plans[0]), toJson(program.data().plans[0])) << "inference is compiled as without training";
  EXPECT_TRUE(alone.data().ir.at(kTarget) == program.data().ir.at(kTarget));

  std::set<std::string> both = symbols(program.data().plans[0].forward), ofTraining = symbols(trainingPlan(program).forward);
  for (const std::string& symbol : symbols(program.data().plans[0].prepare))
    both.insert(symbol);
  size_t shared = both.size() + ofTraining.size();
  both.merge(ofTraining);
  EXPECT_GT(shared, both.size()) << "attention and norms are the same in both";
  EXPECT_EQ(program.data().kernels.size(), both.size());
  EXPECT_EQ(static_cast<size_t>(result.kernelsCompiled + result.kernelsFromCache), both.size());
}

TEST(Training, AParameterIsUpdatedInPlaceBehindAllThatReadsIt) {
  Program program = compile(model(), training());
  const Plan& plan = trainingPlan(program); // checkPlan has seen that nothing reads a parameter behind its update
  std::set<int> written, states;
  for (const LaunchInfo& launch : plan.forward)
    for (int output : launch.outputs)
      if (BufferKind kind = plan.buffers[static_cast<size_t>(output)].kind; kind == BufferKind::Parameter || kind == BufferKind::State) {
        EXPECT_EQ(launch.kind, "update") << launch.label;
        EXPECT_THAT(launch.inputs, testing::Contains(output)) << launch.label;
        EXPECT_TRUE(written.insert(output).second) << launch.label << " writes what another launch wrote";
      }
  for (const ParameterInfo& parameter : plan.parameters)
    EXPECT_TRUE(written.contains(parameter.buffer)) << parameter.name;
  for (const StateInfo& state : plan.states) {
    EXPECT_TRUE(written.contains(state.buffer)) << state.name;
    EXPECT_TRUE(states.insert(state.buffer).second) << state.name << " shares its buffer";
  }
  EXPECT_EQ(plan.states.size(), 2 * plan.parameters.size()) << "two moments each";
}

TEST(Training, WeightsArePackedInEveryCall) {
  Program program = compile(model(), training());
  const Plan& plan = trainingPlan(program);
  EXPECT_TRUE(plan.prepare.empty());
  auto packs = std::ranges::count(plan.forward, "pack", &LaunchInfo::kind);
  EXPECT_EQ(packs, 2 * 5) << "of each layer's gate, and of each expert's two matrices as they lie and across";
}

TEST(Training, GradientsOfInputsAreResults) {
  CompileOptions options = training();
  options.inputGradients = true;
  Program program = compile(model(), options);
  const Plan& plan = trainingPlan(program);
  ASSERT_EQ(plan.outputs.back().name, "gradient.image");
  EXPECT_EQ(plan.outputs.back().shape, plan.inputs.front().shape);
}

TEST(Training, GoingOnFromEveryDumpOfTrainingGivesTheSamePlan) {
  TemporaryFolder folder;
  CompileOptions options = training();
  options.dumpPhases = folder.path();
  Program whole = compile(model(), options);
  const char* phases[] = {"import", "grad", "fuse", "schedule", "plan", "emit"};
  size_t count = 0;
  for (auto& entry : std::filesystem::directory_iterator(folder.path())) {
    std::string name = entry.path().filename().string();
    if (name.find(".training") == std::string::npos)
      continue;
    ++count;
    CompileOptions resume;
    resume.targets = options.targets;
    resume.kernelCache = options.kernelCache;
    size_t next = static_cast<size_t>(name.front() - '0'); // files count from 1
    resume.from = next < std::size(phases) ? phases[next] : "pack";
    Program again = compile(entry.path(), resume);
    ASSERT_EQ(again.data().plans.size(), 1u) << name;
    EXPECT_EQ(toJson(again.data().plans.front()), toJson(trainingPlan(whole))) << name;
  }
  EXPECT_EQ(count, std::size(phases));
}

TEST(Training, PhaseGradIsOfTrainingAlone) {
  CompileOptions options;
  options.targets = {kTarget};
  options.stopAfter = "grad";
  try {
    compileFile(model(), options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Usage);
    EXPECT_THAT(error.what(), HasSubstr("--train"));
  }
  options.train = true;
  EXPECT_THAT(compileFile(model(), options).text, HasSubstr("func.func @train_step"));
  options.accumulate = true;
  EXPECT_THAT(compileFile(model(), options).text, HasSubstr("func.func @apply"));
}

} // namespace moec::test
