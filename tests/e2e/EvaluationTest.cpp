// Programs with a plan for evaluation, and what gates tell of their choices in it and in training.

#include "runtime/Session.h"
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
#include <numeric>

namespace moec::test {

namespace {

using testing::HasSubstr;

constexpr const char* kTarget = "cpu:x86-64-v3";

CompileOptions evaluation(bool statistics = false, bool train = false) {
  CompileOptions options;
  options.targets = {kTarget};
  options.checkSizes = true;
  options.evaluate = true;
  options.statistics = statistics;
  options.train = train;
  return options;
}

const Plan& evaluationPlan(const Program& program) { return *program.plan(kTarget, Purpose::Evaluation); }

/// What the model takes at its check sizes, labels below `classes` among it; not what a training itself gives.
TensorMap inputsOf(const Plan& plan, int64_t classes = 10) {
  Plan own = plan;
  std::erase_if(own.inputs, [](const InputInfo& input) { return input.name.starts_with("train."); });
  for (InputInfo& input : own.inputs)
    if (!input.below && input.dtype == DType::I64)
      input.below = classes;
  return generatedInputs(own, 3);
}

std::vector<std::string> namesOf(const Plan& plan) {
  std::vector<std::string> names;
  for (const OutputInfo& output : plan.outputs)
    names.push_back(output.name);
  return names;
}

double sumOf(const Tensor& tensor) {
  std::vector<double> values = tensor.toDoubles();
  return std::accumulate(values.begin(), values.end(), 0.0);
}

bool sameBits(const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && std::memcmp(a.data(), b.data(), a.bytes()) == 0; }

std::vector<std::string> zoo() {
  std::vector<std::string> names;
  for (auto& entry : std::filesystem::directory_iterator(sourceDir() / "models/zoo"))
    names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string testName(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

} // namespace

class EvaluationOfTheZoo : public testing::TestWithParam<std::string> {};

TEST_P(EvaluationOfTheZoo, AgreesWithTheReference) {
  Program program = compile(sourceDir() / "models/zoo" / (GetParam() + ".json"), evaluation(/*statistics=*/true));
  const Plan& plan = evaluationPlan(program);
  CheckReport report = check(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 2), inputsOf(plan), {}, tolerance, Purpose::Evaluation);
  EXPECT_TRUE(report.passed()) << report.describeFailures();
}

INSTANTIATE_TEST_SUITE_P(All, EvaluationOfTheZoo, testing::ValuesIn(zoo()), testName);

TEST(Evaluation, TheLossAndTheAccuracyAreThoseOfTheScores) {
  Program program = compile(patchedModel("vit-moe.json"), evaluation());
  const Plan& plan = evaluationPlan(program);
  EXPECT_EQ(namesOf(plan), (std::vector<std::string>{"loss", "accuracy", "labels"}));
  for (const OutputInfo& output : plan.outputs) {
    EXPECT_EQ(output.dtype, DType::F32) << output.name;
    EXPECT_TRUE(output.shape.empty()) << output.name;
  }
  EXPECT_FALSE(plan.prepare.empty()) << "weights are packed once, as for inference";
  EXPECT_TRUE(plan.states.empty());

  TensorMap weights = initialWeights(plan, 4), inputs = inputsOf(plan);
  Session infers(program, "cpu"), evaluates(program, "cpu", Purpose::Evaluation);
  infers.load(weights);
  evaluates.load(weights);
  TensorMap given = inputs;
  given.erase("label");
  Tensor scores = infers.run(given, {.seed = 5}).begin()->second;
  int64_t rows = scores.shape()[0], classes = scores.shape()[1];
  std::vector<double> values = scores.toDoubles();
  auto labels = inputs.at("label").as<int64_t>();
  ASSERT_GE(rows, 2);
  double loss = 0, right = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const double* x = &values[static_cast<size_t>(row * classes)];
    auto best = std::max_element(x, x + classes) - x; // the first of the highest
    labels[static_cast<size_t>(row)] = row == 0 ? -100 : row == 1 ? best : labels[static_cast<size_t>(row)];
    if (row == 0)
      continue;
    double sum = 0;
    for (int64_t i = 0; i < classes; ++i)
      sum += std::exp(x[i] - x[best]);
    loss += std::log(sum) + x[best] - x[labels[static_cast<size_t>(row)]];
    right += labels[static_cast<size_t>(row)] == best;
  }
  auto counted = static_cast<double>(rows - 1);
  TensorMap found = evaluates.run(inputs, {.seed = 5});
  EXPECT_NEAR(found.at("loss").toDoubles()[0], loss / counted, 1e-5);
  EXPECT_NEAR(found.at("accuracy").toDoubles()[0], right / counted, 1e-6);
  EXPECT_EQ(found.at("labels").toDoubles()[0], counted);

  given = inputs;
  given.erase("label");
  try {
    evaluates.run(given);
    FAIL() << "without labels there is no loss";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Usage);
    EXPECT_THAT(error.what(), HasSubstr("input 'label' is missing"));
  }
}

TEST(Evaluation, OfBFloat16TheResultsAreF32) {
  Program program = compile(patchedModel("vit-moe.json", R"({"dtype": "bf16"})"), evaluation(/*statistics=*/true));
  const Plan& plan = evaluationPlan(program);
  for (const OutputInfo& output : plan.outputs)
    EXPECT_EQ(output.dtype, DType::F32) << output.name;
  CheckReport report = check(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 2), inputsOf(plan), {}, tolerance, Purpose::Evaluation);
  EXPECT_TRUE(report.passed()) << report.describeFailures();
}

TEST(Evaluation, ItsPlanStandsBesideTheOthersAndChangesNone) {
  CompileOptions options = evaluation(false, /*train=*/true);
  std::filesystem::path file = patchedModel("vit-moe.json");
  Program program = compile(file, options);
  ASSERT_EQ(program.data().plans.size(), 3u);
  EXPECT_EQ(program.data().plans[0].purpose, Purpose::Inference);
  EXPECT_EQ(program.data().plans[1].purpose, Purpose::Training);
  EXPECT_EQ(program.data().plans[2].purpose, Purpose::Evaluation);
  options.evaluate = false;
  Program without = compile(file, options);
  for (size_t i = 0; i < 2; ++i)
    EXPECT_EQ(toJson(without.data().plans[i]), toJson(program.data().plans[i]));
  EXPECT_EQ(toJson(Program::parse(program.bytes()).data().plans[2]), toJson(program.data().plans[2]));
}

TEST(Evaluation, GoingOnFromADumpGivesTheSamePlan) {
  TemporaryFolder folder;
  CompileOptions options = evaluation(/*statistics=*/true);
  options.dumpPhases = folder.path();
  Program whole = compile(patchedModel("vit-moe.json"), options);
  CompileOptions resume;
  resume.targets = options.targets;
  for (auto [dump, next] : {std::pair("1-import.evaluation.mlir", "fuse"), std::pair("3-fuse.evaluation.mlir", "schedule"),
                            std::pair("6-emit.evaluation.x86-64-v3.mlir", "pack")}) {
    resume.from = next;
    ASSERT_TRUE(std::filesystem::exists(folder.path() / dump)) << dump;
    Program again = compile(folder.path() / dump, resume);
    EXPECT_EQ(toJson(again.data().plans.front()), toJson(evaluationPlan(whole))) << dump;
  }
  options.dumpPhases.clear();
  options.stopAfter = "import";
  EXPECT_THAT(compileFile(patchedModel("vit-moe.json"), options).text, HasSubstr("func.func @evaluate("));
}

TEST(Evaluation, WhatDoesNotGoTogetherIsRefused) {
  auto refusal = [](const std::filesystem::path& file, const CompileOptions& options) -> std::string {
    try {
      compile(file, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing";
  };
  CompileOptions options = evaluation(/*statistics=*/true);
  EXPECT_THAT(refusal(patchedModel("vit-moe.json", R"({"loss": null, "optimizer": null})"), options), HasSubstr("a model is evaluated on its loss, and this one has none"));
  options.evaluate = false;
  EXPECT_THAT(refusal(patchedModel("vit-moe.json"), options), HasSubstr("--statistics is for training and evaluation"));
  options = evaluation();
  options.ema = 0.5;
  EXPECT_THAT(refusal(patchedModel("vit-moe.json"), options), HasSubstr("--ema is for training"));
  options.train = true;
  options.ema = 1;
  EXPECT_THAT(refusal(patchedModel("vit-moe.json"), options), HasSubstr("--ema 1: expected"));

  Program plain = compile(patchedModel("batched-experts.json"), CompileOptions{.targets = {kTarget}});
  auto opening = [&](Purpose purpose) -> std::string {
    try {
      Session session(plain, "cpu", purpose);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing";
  };
  EXPECT_THAT(opening(Purpose::Evaluation), HasSubstr("has no plan for evaluation: compile it with --evaluate"));
  EXPECT_THAT(opening(Purpose::Training), HasSubstr("a session is for inference or evaluation, not for training"));
}

//===--- what gates chose ---===//

class StatisticsOfTheZoo : public testing::TestWithParam<std::string> {};

// With and without statistics, all else has the same bits; and what gates tell adds up.
TEST_P(StatisticsOfTheZoo, ChangeNoOtherBitAndAddUp) {
  std::filesystem::path file = sourceDir() / "models/zoo" / (GetParam() + ".json");
  Program with = compile(file, evaluation(true, true)), without = compile(file, evaluation(false, true));
  TensorMap weights = initialWeights(evaluationPlan(with), 2), inputs = inputsOf(evaluationPlan(with));
  auto evaluated = [&](const Program& program) {
    Session session(program, "cpu", Purpose::Evaluation);
    session.load(weights);
    return session.run(inputs, {.seed = 3});
  };
  auto trained = [&](const Program& program) {
    Training training(program, "cpu");
    training.load(weights);
    TensorMap all = training.step(inputs, {.learningRate = 1e-2, .seed = 3});
    for (auto& [name, tensor] : training.weights())
      all.emplace("weight " + name, tensor);
    return all;
  };
  bool tells = false;
  for (auto [more, less] : {std::pair(evaluated(with), evaluated(without)), std::pair(trained(with), trained(without))}) {
    for (const auto& [name, tensor] : less)
      EXPECT_TRUE(sameBits(tensor, more.at(name))) << name;
    for (const auto& [name, tensor] : more) {
      if (less.contains(name))
        continue;
      EXPECT_EQ(tensor.dtype(), DType::F32) << name;
      EXPECT_TRUE(name.ends_with(".load") || name.ends_with(".dropped")) << name;
      if (!name.ends_with(".load"))
        continue;
      tells = true;
      double sum = sumOf(tensor);
      EXPECT_GT(sum, 0) << name;
      auto dropped = more.find(name.substr(0, name.size() - 4) + "dropped");
      bool counts = dropped != more.end();
      for (double load : tensor.toDoubles()) {
        EXPECT_GE(load, 0) << name;
        EXPECT_TRUE(!counts || load == std::floor(load)) << name;
      }
      if (counts)
        EXPECT_GE(dropped->second.toDoubles()[0], 0) << name;
    }
  }
  EXPECT_EQ(tells, GetParam() != "vit") << "every mixture tells, and no other model";
}

INSTANTIATE_TEST_SUITE_P(All, StatisticsOfTheZoo, testing::ValuesIn(zoo()), testName);

// A capacity that drops, in numbers: T = 4 batches of 5 tokens with one choice each; an expert takes 2 of all.
TEST(Statistics, ChoicesThatFindNoPlaceAreDropped) {
  TemporaryFolder folder;
  std::filesystem::path file = folder.path() / "gate.json";
  std::ofstream(file) << R"({"name": "gate", "inputs": {"x": {"shape": ["batch", 5, 4]}, "y": {"shape": ["batch", 5, 4], "for": "loss"}},
    "model": [{"kind": "moe", "name": "mixture", "gate": {"kind": "switch", "expert_capacity": 2}, "experts": {"kind": "linear", "out": 4, "count": 3}}],
    "loss": {"kind": "mse", "prediction": "mixture", "target": "y"}})";
  Program program = compile(file, evaluation(true));
  const Plan& plan = evaluationPlan(program);
  EXPECT_EQ(namesOf(plan), (std::vector<std::string>{"loss", "mixture.gate.load", "mixture.gate.dropped"}));
  Session session(program, "cpu", Purpose::Evaluation);
  TensorMap weights = initialWeights(plan, 0);
  auto router = weights.at("mixture.gate.weight").as<float>(); // (3, 4): the expert of the largest of the first three numbers
  std::fill(router.begin(), router.end(), 0.0f);
  for (size_t expert = 0; expert < 3; ++expert)
    router[expert * 4 + expert] = 1;
  session.load(weights);
  Tensor x(DType::F32, {4, 5, 4});
  for (int64_t token = 0; token < 20; ++token)
    x.as<float>()[static_cast<size_t>(4 * token + (token == 7 ? 2 : token % 2 == 0 ? 0 : 1))] = 1; // one goes to the last, 10 and 9 to the others
  TensorMap found = session.run({{"x", x}, {"y", x}});
  EXPECT_EQ(found.at("mixture.gate.load").toDoubles(), (std::vector<double>{2, 2, 1}));
  EXPECT_EQ(found.at("mixture.gate.dropped").toDoubles(), (std::vector<double>{15}));
}

// The same on the emulator's kernels, a layer of one launch among them.
TEST(Statistics, CudaKernelsTellTheSame) {
  if (std::string missing = missingCudaCompiler(); !missing.empty())
    GTEST_SKIP() << "[SKIP] " << missing;
  for (const char* name : {"vit-moe.json", "hierarchical.json", "soft-moe.json"}) {
    CompileOptions options = evaluation(true);
    options.targets = {"cuda:sm_90a", kTarget};
    Program program = compile(sourceDir() / "models/zoo" / name, options);
    const Plan& plan = *program.plan("cuda:sm_90a", Purpose::Evaluation);
    CheckReport report = check(program, openDevice("ptx-emulator:sm_90a"), openDevice("cpu"), initialWeights(plan, 2), inputsOf(plan), {}, tolerance, Purpose::Evaluation);
    EXPECT_TRUE(report.passed()) << name << ": " << report.describeFailures();
  }
}

//===--- averages of the parameters ---===//

TEST(Averages, AFlagGivesThemToAnyOptimizer) {
  CompileOptions options = evaluation(false, true);
  options.ema = 0.75;
  std::filesystem::path file = patchedModel("vit-moe.json", R"({"optimizer": {"kind": "sgd"}})");
  Program program = compile(file, options);
  Training training(program, "cpu");
  const Plan& plan = training.plan();
  TensorMap weights = initialWeights(plan, 2), inputs = inputsOf(plan);
  training.load(weights);
  for (const auto& [name, begin] : weights)
    EXPECT_TRUE(sameBits(training.state().at(name + ".average"), begin)) << name << ": it begins as the parameter";
  training.step(inputs, {.learningRate = 0.5, .seed = 3});
  TensorMap behind = training.weights(), state = training.state();
  double moved = 0;
  for (const auto& [name, begin] : weights) {
    auto from = begin.as<float>(), to = behind.at(name).as<float>(), average = state.at(name + ".average").as<float>();
    for (size_t i = 0; i < from.size(); ++i) {
      ASSERT_EQ(average[i], from[i] + 0.25f * (to[i] - from[i])) << name;
      moved = std::max(moved, std::fabs(static_cast<double>(average[i]) - static_cast<double>(from[i])));
    }
  }
  EXPECT_GT(moved, 1e-4);
  // Averages are weights of the same names: the model is evaluated with them.
  TensorMap averages;
  for (const auto& [name, begin] : weights)
    averages.emplace(name, state.at(name + ".average"));
  Session session(program, "cpu", Purpose::Evaluation);
  session.load(averages);
  EXPECT_TRUE(std::isfinite(session.run(inputs).at("loss").toDoubles()[0]));

  options.ema = 0; // as without
  EXPECT_TRUE(compile(patchedModel("vit-moe.json", R"({"optimizer": {"kind": "sgd", "ema": 0.9}})"), options).plan(kTarget, Purpose::Training)->states.empty());
}

} // namespace moec::test
