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
#include <functional>
#include <limits>
#include <map>
#include <numeric>

namespace moec::test {

namespace {

using testing::HasSubstr;

constexpr const char* kTarget = "cpu:x86-64-v3";

CompileOptions evaluation(bool statistics = false, bool train = false) {
  CompileOptions options;
  options.targets = {kTarget};
  options.kernelCache = sharedKernels();
  options.checkSizes = true;
  options.evaluate = true;
  options.statistics = statistics;
  options.train = train;
  return options;
}

const Plan& evaluationPlan(const Program& program) { return *program.plan(kTarget, Purpose::Evaluation); }

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

/// A model text as a file.
std::filesystem::path written(const std::string& name, const std::string& text) {
  static TemporaryFolder folder;
  std::filesystem::path file = folder.path() / (name + ".json");
  std::ofstream(file) << text;
  return file;
}

/// A mixture, small: 5 tokens of width 4 in each row of a batch, 3 experts that take 2 tokens each. `more`: further members of the file. `fixed`: a batch of 4.
std::filesystem::path mixture(const std::string& more = "", bool fixed = false) {
  std::string input = fixed ? R"({"shape": [4, 5, 4])" : R"({"shape": ["batch", 5, 4])";
  return written("mixture" + std::to_string(std::hash<std::string>{}(more) + fixed), R"({"name": "mixture", "inputs": {"x": )" + input + R"(}, "y": )" + input +
                                                                                         R"(, "for": "loss"}},
    "model": [{"kind": "moe", "name": "mixture", "gate": {"kind": "switch", "expert_capacity": 2}, "experts": {"kind": "mlp", "hidden": 8, "count": 3}}],
    "loss": {"kind": "mse", "prediction": "mixture", "target": "y"})" + (fixed ? "" : R"(, "check": {"batch": 4})") +
                                                                                         more + "}");
}

/// Every gate, and what mixes without one, one behind the other; width 8, 4 experts, 6 tokens a batch, 5 classes.
std::filesystem::path allMixtures() {
  std::string blocks;
  for (const char* gate : {R"("top_k", "capacity": 0.5)", R"("gshard")", R"("switch")", R"("top_2", "capacity": 0.6, "least_capacity": 1)",
                           R"("hierarchical", "outer": 2)", R"("random_expert")", R"("dense")"})
    blocks += std::string(R"({"kind": "residual", "body": {"kind": "moe", "gate": {"kind": )") + gate +
              R"(}, "experts": {"kind": "mlp", "hidden": 8, "count": 4}}}, )";
  return written(
      "all",
      R"({"name": "all", "inputs": {"x": {"shape": ["batch", 6, 8]}, "weights": {"shape": ["batch", 4]}, "labels": {"shape": ["batch", 6], "dtype": "i64", "for": "loss"}},
    "model": [)" +
          blocks + R"({"kind": "residual", "body": {"kind": "soft_moe", "experts": {"kind": "mlp", "hidden": 8, "count": 4}}},
              {"kind": "residual", "body": {"kind": "moe", "gate": {"kind": "top_k"}, "experts": [{"kind": "mlp", "hidden": 8, "count": 3}, {"kind": "linear", "out": 8, "count": 1}]}},
              {"kind": "dense_experts", "name": "each", "experts": {"kind": "linear", "out": 8, "count": 4}}, {"kind": "blend", "name": "blended", "from": ["each", "weights"]},
              {"kind": "linear", "name": "scores", "out": 5}],
    "check": {"batch": 3}, "loss": {"kind": "cross_entropy", "scores": "scores", "labels": "labels"}})");
}

bool sameBits(const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && std::memcmp(a.data(), b.data(), a.bytes()) == 0; }

} // namespace

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

  TensorMap weights = initialWeights(plan, 4), inputs = modelInputs(plan);
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
  CheckReport report =
      check(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 2), modelInputs(plan), {}, tolerance, Purpose::Evaluation);
  EXPECT_TRUE(report.passed()) << report.describeFailures();
}

TEST(Evaluation, ItsPlanStandsBesideTheOthersAndChangesNone) {
  CompileOptions options = evaluation(false, /*train=*/true);
  std::filesystem::path file = mixture();
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
  Program whole = compile(mixture(), options);
  CompileOptions resume;
  resume.targets = options.targets;
  resume.kernelCache = options.kernelCache;
  for (auto [dump, next] : {std::pair("1-import.evaluation.mlir", "fuse"), std::pair("3-fuse.evaluation.mlir", "schedule"),
                            std::pair("6-emit.evaluation.x86-64-v3.mlir", "pack")}) {
    resume.from = next;
    ASSERT_TRUE(std::filesystem::exists(folder.path() / dump)) << dump;
    Program again = compile(folder.path() / dump, resume);
    EXPECT_EQ(toJson(again.data().plans.front()), toJson(evaluationPlan(whole))) << dump;
  }
  options.dumpPhases.clear();
  options.stopAfter = "import";
  EXPECT_THAT(compileFile(mixture(), options).text, HasSubstr("func.func @evaluate("));
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
  EXPECT_THAT(refusal(patchedModel("vit-moe.json", R"({"loss": null, "optimizer": null})"), options),
              HasSubstr("a model is evaluated on its loss, and this one has none"));
  options.evaluate = false;
  EXPECT_THAT(refusal(patchedModel("vit-moe.json"), options), HasSubstr("--statistics is for training and evaluation"));
  options = evaluation();
  options.ema = 0.5;
  EXPECT_THAT(refusal(patchedModel("vit-moe.json"), options), HasSubstr("--ema is for training"));
  options.train = true;
  options.ema = 1;
  EXPECT_THAT(refusal(patchedModel("vit-moe.json"), options), HasSubstr("--ema 1: expected"));

  options = evaluation();
  options.evaluate = false;
  Program plain = compile(mixture(), options);
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

// With and without statistics all else has the same bits, in training and in evaluation; and what gates tell adds up.
TEST(Statistics, OfEveryMixtureChangeNoOtherBitAndAddUp) {
  Program with = compile(allMixtures(), evaluation(true, true)), without = compile(allMixtures(), evaluation(false, true));
  TensorMap weights = initialWeights(evaluationPlan(with), 2), inputs = modelInputs(evaluationPlan(with), 5);
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
  constexpr double kTokens = 3 * 6;
  // Choices of a token, by gate; 0: weights that add up to 1 for each token (of the blend, to the input's).
  const std::map<std::string, double> choices = {{"moe.gate", 2},         {"moe_2.gate", 2},  {"moe_3.gate", 1}, {"moe_4.gate", 2},
                                                 {"moe_5.gate.outer", 2}, {"moe_5.gate", -1}, {"moe_6.gate", 1}, {"moe_7.gate", 0},
                                                 {"soft_moe", 0},         {"moe_8.gate", 2},  {"blended", -1}};
  for (auto [more, less] : {std::pair(evaluated(with), evaluated(without)), std::pair(trained(with), trained(without))}) {
    for (const auto& [name, tensor] : less)
      EXPECT_TRUE(sameBits(tensor, more.at(name))) << name;
    EXPECT_EQ(more.size(), less.size() + 3 * choices.size() - 6) << "three of them drop nothing, two are no gates, one has no logits";
    for (const auto& [gate, count] : choices) {
      ASSERT_TRUE(more.contains(gate + ".load")) << gate;
      const Tensor& load = more.at(gate + ".load");
      EXPECT_EQ(load.dtype(), DType::F32) << gate;
      EXPECT_EQ(load.shape(), Shape{gate.ends_with("outer") ? 2 : 4}) << gate;
      auto dropped = more.find(gate + ".dropped"), none = more.find(gate + ".non_finite");
      ASSERT_EQ(none == more.end(), gate == "soft_moe" || gate == "blended" || gate == "moe_6.gate") << gate;
      if (none != more.end())
        EXPECT_EQ(sumOf(none->second), 0) << gate;
      if (count > 0) {
        ASSERT_NE(dropped, more.end()) << gate;
        EXPECT_EQ(sumOf(load) + sumOf(dropped->second), count * kTokens) << gate;
        for (double each : load.toDoubles())
          EXPECT_EQ(each, std::floor(each)) << gate;
      } else if (count == 0) {
        EXPECT_EQ(dropped, more.end()) << gate;
        EXPECT_NEAR(sumOf(load), kTokens, 1e-4) << gate;
      }
    }
    // The inner gates choose for the rows that came to a group.
    EXPECT_EQ(sumOf(more.at("moe_5.gate.load")) + sumOf(more.at("moe_5.gate.dropped")), 2 * sumOf(more.at("moe_5.gate.outer.load")));
    EXPECT_GT(sumOf(more.at("moe.gate.dropped")), 0) << "half of the choices have a place";
    EXPECT_EQ(sumOf(more.at("moe_8.gate.dropped")), 0) << "there is no limit";
    std::vector<double> given = inputs.at("weights").toDoubles(), blended = more.at("blended.load").toDoubles();
    for (size_t expert = 0; expert < 4; ++expert)
      EXPECT_NEAR(blended[expert], given[expert] + given[4 + expert] + given[8 + expert], 1e-5);
  }
}

TEST(Statistics, AgreeWithTheReference) {
  Program program = compile(allMixtures(), evaluation(true));
  const Plan& plan = evaluationPlan(program);
  CheckReport report =
      check(program, openDevice("cpu"), openDevice("reference"), initialWeights(plan, 2), modelInputs(plan, 5), {}, tolerance, Purpose::Evaluation);
  EXPECT_TRUE(report.passed()) << report.describeFailures();
  int counts = 0;
  for (const LaunchInfo& launch : plan.forward)
    if (std::ranges::find(launch.ops, "expert_counts") != launch.ops.end()) {
      bool isInner = launch.label == "moe_5.gate"; // how many choices there are say the outer counts
      EXPECT_THAT(launch.ops, testing::Contains(isInner ? "reduce" : "sub")) << launch.label << ": counts and what was dropped are one launch";
      ++counts;
    }
  EXPECT_EQ(counts, 8) << "one of each routing";
}

// A capacity that drops, in numbers: 20 tokens with one choice each; an expert takes 2 of all.
TEST(Statistics, ChoicesThatFindNoPlaceAreDropped) {
  std::filesystem::path file = mixture();
  Program program = compile(file, evaluation(true));
  const Plan& plan = evaluationPlan(program);
  EXPECT_EQ(namesOf(plan), (std::vector<std::string>{"loss", "mixture.gate.load", "mixture.gate.dropped", "mixture.gate.non_finite"}));
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
  EXPECT_EQ(found.at("mixture.gate.non_finite").toDoubles(), (std::vector<double>{0}));
  for (int64_t token : {3, 11, 12})
    x.as<float>()[static_cast<size_t>(4 * token)] = std::numeric_limits<float>::infinity(); // inf for the first expert, and 0 * inf for the others
  EXPECT_EQ(session.run({{"x", x}, {"y", x}}).at("mixture.gate.non_finite").toDoubles(), (std::vector<double>{9}));
}

// A logit of -inf, of which a softmax makes 0: nothing else tells of it.
TEST(Statistics, ALogitThatLeavesNoTraceIsCounted) {
  std::filesystem::path file = mixture();
  Program program = compile(file, evaluation(true));
  Session session(program, "cpu", Purpose::Evaluation);
  TensorMap weights = initialWeights(evaluationPlan(program), 0);
  auto router = weights.at("mixture.gate.weight").as<float>(); // (3, 4)
  std::fill(router.begin(), router.end(), 0.0f);
  router[2 * 4] = -std::numeric_limits<float>::max();
  session.load(weights);
  Tensor x(DType::F32, {4, 5, 4});
  for (int64_t token : {2, 19})
    x.as<float>()[static_cast<size_t>(4 * token)] = 2;
  TensorMap found = session.run({{"x", x}, {"y", x}});
  EXPECT_EQ(found.at("mixture.gate.non_finite").toDoubles(), (std::vector<double>{2}));
  EXPECT_TRUE(std::isfinite(found.at("loss").toDoubles()[0]));
}

// The same on the emulator's kernels, a layer of one launch among them.
TEST(Statistics, CudaKernelsTellTheSame) {
  if (std::string missing = missingCudaCompiler(); !missing.empty())
    GTEST_SKIP() << "[SKIP] " << missing;
  for (const std::filesystem::path& file : {allMixtures(), mixture("", /*fixed=*/true)}) {
    CompileOptions options = evaluation(true);
    options.targets = {"cuda:sm_90a", kTarget};
    Program program = compile(file, options);
    const Plan& plan = *program.plan("cuda:sm_90a", Purpose::Evaluation);
    bool isOneLaunch = std::ranges::any_of(plan.forward, [](const LaunchInfo& launch) { return launch.kind == "moe_layer"; });
    EXPECT_EQ(isOneLaunch, file != allMixtures()) << "a layer of one launch gives its routing too";
    CheckReport report = check(program, openDevice("ptx-emulator:sm_90a"), openDevice(isOneLaunch ? "reference" : "cpu"), initialWeights(plan, 2),
                               modelInputs(plan, 5), {}, tolerance, Purpose::Evaluation);
    EXPECT_TRUE(report.passed()) << file << ": " << report.describeFailures();
  }
}

//===--- averages of the parameters ---===//

TEST(Averages, AFlagGivesThemToAnyOptimizer) {
  CompileOptions options = evaluation(false, true);
  options.ema = 0.75;
  Program program = compile(mixture(R"(, "optimizer": {"kind": "sgd"})"), options);
  Training training(program, "cpu");
  const Plan& plan = training.plan();
  TensorMap weights = initialWeights(plan, 2), inputs = modelInputs(plan);
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
  EXPECT_TRUE(compile(mixture(R"(, "optimizer": {"kind": "sgd", "ema": 0.9})"), options).plan(kTarget, Purpose::Training)->states.empty());
}

} // namespace moec::test
