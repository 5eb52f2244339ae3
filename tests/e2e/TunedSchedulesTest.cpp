// Owner of: schedules that are not the cost model's in whole programs: their bits, what a compilation takes from a database, what it refuses.

#include "runtime/Training.h"
#include "runtime/Weights.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/Error.h"
#include "runtime/core/TuningDatabase.h"
#include "tests/e2e/Support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace moec::test {

namespace {

using testing::HasSubstr;
using testing::Not;

// One layer of vit-moe, with experts that no cache holds, and of switch-lm, whose small ones are one launch: they have every kind of kernel that is tuned.
// Each schedule that is tried is another kernel to compile.
std::filesystem::path vitMoe() {
  return patchedModel("vit-moe.json", R"({"model": [
    {"kind": "patch_embedding", "patch": 4, "dim": "$dim"}, {"kind": "class_token"}, {"kind": "position_embedding", "length": 65},
    {"kind": "residual", "body": [{"kind": "layer_norm"}, {"kind": "attention", "heads": 2, "head_dim": 16, "qkv_bias": false}]},
    {"kind": "residual", "body": [{"kind": "layer_norm"}, {"kind": "feed_forward"}]},
    {"kind": "pool", "mode": "class_token"}, {"kind": "linear", "out": 10, "name": "scores"}],
    "blocks": {"feed_forward": {"experts": {"hidden": 512}}}})");
}
std::filesystem::path switchLm() {
  return patchedModel("switch-lm.json", R"({"model": [
    {"kind": "embedding", "vocabulary": "$vocabulary", "dim": "$embedding"}, {"kind": "position_embedding", "length": "$length"},
    {"kind": "residual", "body": [{"kind": "attention", "heads": "$heads", "causal": true, "dropout": 0.1}]}, {"kind": "layer_norm"},
    {"kind": "mixture"}, {"kind": "linear", "out": "$vocabulary", "name": "scores"}],
    "let": {"layers": null}, "check": {"layers": null}})");
}

struct Case {
  const char* name;
  std::filesystem::path (*model)();
  Purpose purpose = Purpose::Inference;
  int steps = 1; // each compiles most kernels anew
};

CompileOptions optionsOf(Purpose purpose = Purpose::Inference) {
  CompileOptions options;
  options.targets = {"cpu"};
  options.checkSizes = true;
  options.kernelCache = sharedKernels();
  options.listChoices = true;
  options.train = purpose == Purpose::Training;
  return options;
}

/// What a call gives, or a step: its losses, and the parameters that it leaves.
std::vector<uint8_t> resultOf(const Program& program, Purpose purpose) {
  if (purpose == Purpose::Inference) {
    Session session(program, "cpu");
    session.init(0);
    return bytesOf(session.run(generatedInputs(session.plan(), 5), RunOptions{.seed = 3}));
  }
  Training training(program, "cpu");
  training.init(0);
  TensorMap inputs = modelInputs(training.plan());
  std::vector<uint8_t> bytes = bytesOf(training.step(inputs, {.learningRate = 1e-2, .seed = 3})), weights = bytesOf(training.weights());
  bytes.insert(bytes.end(), weights.begin(), weights.end());
  return bytes;
}

class TunedBits : public testing::TestWithParam<Case> {};

} // namespace

// From candidate to candidate at random, all kernels at once: combinations that a search may come to.
TEST_P(TunedBits, AnyScheduleThatMayBeTriedGivesTheSameBits) {
  Purpose purpose = GetParam().purpose;
  std::filesystem::path model = GetParam().model();
  CompileOptions options = optionsOf(purpose);
  CompileResult compiled = compileFile(model, options);
  std::vector<uint8_t> expected = resultOf(*compiled.program, purpose);
  ASSERT_FALSE(expected.empty());
  std::mt19937 random(11);
  size_t most = 0;
  for (int step = 1; step <= GetParam().steps; ++step) {
    for (const KernelChoice& choice : compiled.choices)
      if (choice.purpose == purpose && !choice.candidates.empty())
        options.schedules[choice.key] = choice.candidates[random() % choice.candidates.size()];
    compiled = compileFile(model, options);
    size_t tuned = 0;
    for (const KernelChoice& choice : compiled.choices)
      if (choice.purpose == purpose && options.schedules.contains(choice.key)) {
        EXPECT_EQ(choice.schedule, options.schedules.at(choice.key)) << choice.kind << " of " << choice.label;
        tuned += choice.isTuned;
      }
    most = std::max(most, tuned);
    ASSERT_TRUE(resultOf(*compiled.program, purpose) == expected) << "step " << step;
  }
  EXPECT_GT(most, 4u);
}

INSTANTIATE_TEST_SUITE_P(Models, TunedBits,
                         testing::Values(Case{"vit_moe", vitMoe, Purpose::Inference, 2}, Case{"switch_lm", switchLm},
                                         Case{"vit_moe_training", vitMoe, Purpose::Training}, Case{"switch_lm_training", switchLm, Purpose::Training}),
                         [](const auto& info) { return info.param.name; });

namespace {

class TuningOfPrograms : public testing::Test {
protected:
  TemporaryFolder folder;
  std::filesystem::path model = vitMoe(), file = folder.path() / "tuning.jsonl";

  CompileResult compiled(bool tuned) const {
    CompileOptions options = optionsOf();
    if (tuned)
      options.tuning = file;
    return compileFile(model, options);
  }

  /// A kernel of this kind that has something to choose.
  static KernelChoice choiceOf(const CompileResult& result, const std::string& kind) {
    for (const KernelChoice& choice : result.choices)
      if (choice.kind == kind && !choice.candidates.empty())
        return choice;
    throw std::runtime_error("no kernel of kind " + kind + " has a choice");
  }

  void write(const KernelChoice& choice, const KernelSchedule& schedule, const std::string& cpu = cpuModel()) const {
    TuningDatabase(file).append({{.kernel = choice.key,
                                  .target = choice.target,
                                  .cpu = cpu,
                                  .sizes = {},
                                  .schedule = schedule,
                                  .ratio = 0.5,
                                  .threads = 1,
                                  .kind = choice.kind,
                                  .layer = {},
                                  .date = {},
                                  .build = {}}});
  }

  static std::vector<const LaunchInfo*> tunedLaunches(const Program& program) {
    std::vector<const LaunchInfo*> tuned;
    for (const Plan& plan : program.data().plans)
      for (const auto* list : {&plan.prepare, &plan.forward})
        for (const LaunchInfo& launch : *list)
          if (launch.isTuned)
            tuned.push_back(&launch);
    return tuned;
  }
};

} // namespace

TEST_F(TuningOfPrograms, ScheduleOfTheDatabaseIsTakenAndTold) {
  CompileResult before = compiled(false);
  EXPECT_TRUE(tunedLaunches(*before.program).empty());
  KernelChoice choice = choiceOf(before, "expert_up");
  KernelSchedule wanted = choice.candidates.at(0); // of another width: weights are packed for it
  ASSERT_NE(wanted.at("nr"), choice.schedule.at("nr"));
  write(choice, wanted);
  CompileResult after = compiled(true);
  auto tuned = tunedLaunches(*after.program);
  ASSERT_FALSE(tuned.empty());
  for (const LaunchInfo* launch : tuned) {
    EXPECT_EQ(launch->kind, "expert_up");
    EXPECT_THAT(launch->schedule, HasSubstr("nr=" + std::to_string(wanted.at("nr"))));
  }
  EXPECT_EQ(tunedLaunches(Program::parse(after.program->bytes())).size(), tuned.size());
  EXPECT_TRUE(resultOf(*after.program, Purpose::Inference) == resultOf(*before.program, Purpose::Inference));
}

TEST_F(TuningOfPrograms, WhatIsOfNoUseChangesNoByte) {
  CompileResult before = compiled(false);
  KernelChoice product = choiceOf(before, "expert_up"), rows = choiceOf(before, "rows");
  write(product, product.candidates.at(0), "Another CPU");
  auto edited = [&](const char* entry, int64_t value) {
    KernelSchedule schedule = product.schedule;
    schedule[entry] = value;
    return schedule;
  };
  for (const KernelSchedule& wrong : {edited("rows", 1000), edited("rows", 0), edited("nr", 3), edited("row_block", product.schedule.at("rows") + 1),
                                      edited("panels", int64_t{1} << 40), edited("panels", -1), edited("slice", int64_t{1} << 29), edited("unknown", 1),
                                      edited("pack_rows", 2), KernelSchedule{{"block", 8}}, product.schedule}) {
    write(product, wrong);
    write(rows, {{"block", 0}});
    CompileResult after = compiled(true);
    EXPECT_TRUE(tunedLaunches(*after.program).empty());
    EXPECT_TRUE(after.program->bytes() == before.program->bytes());
  }
}

TEST_F(TuningOfPrograms, SchedulesThatWouldChangeBitsAreRefused) {
  // The gradient of a norm's weight sums up rows in blocks; causal attention adds zeros up to the end of its block.
  CompileOptions options = optionsOf(Purpose::Training);
  CompileResult before = compileFile(switchLm(), options);
  int sums = 0, attentions = 0;
  for (const KernelChoice& choice : before.choices) {
    if (choice.kind == "rows" && choice.candidates.empty()) {
      ++sums;
      options.schedules[choice.key] = {{"block", choice.schedule.at("block") * 2}};
    }
    if (choice.kind == "attention") {
      ++attentions;
      options.schedules[choice.key] = choice.schedule;
      options.schedules[choice.key]["queries"] *= 2;
      for (const KernelSchedule& candidate : choice.candidates)
        EXPECT_EQ(candidate.at("queries"), choice.schedule.at("queries"));
    }
  }
  EXPECT_GT(sums, 0);
  EXPECT_GT(attentions, 0);
  CompileResult after = compileFile(switchLm(), options);
  for (const KernelChoice& choice : after.choices)
    EXPECT_FALSE(choice.isTuned) << choice.kind << " of " << choice.label;
}

TEST_F(TuningOfPrograms, ADatabaseThatIsNotThereIsAnError) {
  try {
    compiled(true);
    FAIL() << "compiled with a database that is not there";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Data);
    EXPECT_THAT(error.what(), HasSubstr(file.string()));
  }
}

} // namespace moec::test
