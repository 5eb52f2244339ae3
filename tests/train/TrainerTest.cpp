// Trainings of a small compiled model: what they learn and write, and that they go on to the bit.

#include "runtime/train/Trainer.h"

#include "runtime/core/Error.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Metrics.h"
#include "runtime/train/OutFolder.h"
#include "tests/e2e/Support.h"
#include "tests/train/Support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

namespace moec::train {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using test::TemporaryFolder;

/// One compiled program for all tests of a kind.
struct Compiled {
  explicit Compiled(bool accumulate = false, const std::string& patch = "{}") : file(folder.path() / "model.json"), program(compileSmall(file, patch, accumulate)) {}
  TemporaryFolder folder;
  fs::path file;
  Program program;
};
const Compiled& plain() {
  static Compiled compiled;
  return compiled;
}
const Compiled& accumulating() {
  static Compiled compiled(true);
  return compiled;
}

Config config(const fs::path& out, const Compiled& compiled = plain()) {
  Config config;
  config.batch = 16;
  config.steps = 30;
  config.schedule.peak = 0.02;
  config.seed = 3;
  config.model = compiled.file;
  config.out = out;
  return config;
}

data::OpenedData points(int64_t train = 100, int64_t validation = 40) {
  return {std::make_shared<Points>(train), validation ? std::make_shared<Points>(validation, 2) : nullptr, nullptr, "points"};
}

/// A whole training, or a part of it: it is asked to stop behind step `until`.
Outcome train(const Compiled& compiled, const Config& config, Listener* listener = nullptr, bool resume = false, int64_t until = -1, data::OpenedData data = points()) {
  Remembering own;
  std::atomic<bool> stop = false;
  own.afterStep = [&](int64_t step) { stop = step == until; };
  Trainer trainer(compiled.program, "cpu", {.threads = 1}, config, std::move(data));
  if (resume)
    trainer.resume();
  return trainer.run(listener ? *listener : own, stop);
}

template <class Do> std::string problem(Fault fault, Do act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault) << error.what();
    return error.what();
  }
  return "";
}

} // namespace

TEST(Trainer, LearnsAndWritesWhatItPromises) {
  TemporaryFolder out;
  Config settings = config(out.path());
  settings.steps = 60;
  Remembering told;
  Outcome outcome = train(plain(), settings, &told);
  EXPECT_EQ(outcome.end, Outcome::End::Finished);
  EXPECT_EQ(outcome.steps, 60);
  EXPECT_EQ(told.from, 0);
  EXPECT_EQ(told.total, 60);
  EXPECT_EQ(told.batchesPerEpoch, 7) << "100 records are six batches of 16, and 4";
  ASSERT_EQ(told.steps.size(), 60u);
  EXPECT_EQ(told.steps[6].records, 4);
  EXPECT_EQ(told.steps[6].epoch, 0);
  EXPECT_EQ(told.steps[7].epoch, 1);
  EXPECT_LT(told.steps.back().loss, 0.5 * told.steps.front().loss);
  const StepRecord& first = told.steps.front();
  ASSERT_EQ(first.auxLosses.size(), 1u);
  EXPECT_EQ(first.auxLosses.begin()->first, "moe.gate.balance_loss");
  ASSERT_EQ(first.load.at("moe.gate").size(), 4u);
  double chosen = first.dropped.at("moe.gate");
  for (double load : first.load.at("moe.gate"))
    chosen += load;
  EXPECT_EQ(chosen, 16) << "each token's choice was taken or dropped";
  ASSERT_EQ(told.evaluations.size(), 9u) << "behind each epoch, and at the end";
  EXPECT_EQ(told.evaluations[0].step, 7);
  EXPECT_EQ(told.evaluations[0].records, 40);
  EXPECT_GT(*told.evaluations.back().accuracy, 0.9);
  ASSERT_TRUE(outcome.best);
  for (const EvaluationRecord& evaluation : told.evaluations)
    EXPECT_GE(evaluation.loss, outcome.best->loss);
  EXPECT_EQ(outcome.checkpoint, checkpointFolder(out.path(), 60));
  EXPECT_TRUE(fs::exists(out.path() / "metrics.jsonl"));
  EXPECT_EQ(filesOf(out.path()).at("model.json"), smallModel());
  Config kept = readOutFolder(out.path());
  EXPECT_EQ(kept.steps, 60);
  EXPECT_EQ(kept.model, out.path() / "model.json");
  std::vector<fs::path> all = listCheckpoints(out.path());
  EXPECT_LE(all.size(), 4u) << "three, and the best";
  EXPECT_TRUE(std::ranges::find(all, checkpointFolder(out.path(), outcome.best->step)) != all.end());
}

/// How a training is cut: by batches of a step, and by steps.
struct Cut {
  const char* name;
  int64_t accumulate, until;
};

class GoingOn : public testing::TestWithParam<Cut> {};

// Jitter, dropout, moments, the order of records and the best evaluation all go on.
TEST_P(GoingOn, GivesTheBytesOfATrainingThatWasNotInterrupted) {
  auto [name, accumulate, until] = GetParam();
  const Compiled& compiled = accumulate > 1 ? accumulating() : plain();
  TemporaryFolder whole, parts;
  Config settings = config(whole.path(), compiled);
  settings.accumulate = accumulate;
  settings.schedule.kind = Schedule::Kind::Cosine;
  Outcome expected = train(compiled, settings);
  settings.out = parts.path();
  Outcome part = train(compiled, settings, nullptr, false, until);
  EXPECT_EQ(part.end, Outcome::End::Interrupted);
  EXPECT_EQ(part.steps, until);
  part = train(compiled, settings, nullptr, true, until + 1);
  EXPECT_EQ(part.steps, until + 1);
  Outcome rest = train(compiled, settings, nullptr, true);
  EXPECT_EQ(rest.end, Outcome::End::Finished);
  EXPECT_EQ(filesOf(rest.checkpoint), filesOf(expected.checkpoint));
  EXPECT_EQ(rest.best->step, expected.best->step);
  // Losses too, of which the metrics tell.
  Remembering a, b;
  readMetrics(whole.path() / "metrics.jsonl", a);
  readMetrics(parts.path() / "metrics.jsonl", b);
  ASSERT_EQ(a.steps.size(), b.steps.size());
  for (size_t i = 0; i < a.steps.size(); ++i)
    EXPECT_EQ(a.steps[i].loss, b.steps[i].loss) << "step " << i + 1;
}

INSTANTIATE_TEST_SUITE_P(Trainer, GoingOn,
                         testing::Values(Cut{"InAnEpoch", 1, 10}, Cut{"AtItsEnd", 1, 14}, Cut{"BeforeTheFirstEvaluation", 1, 1}, Cut{"WithStepsOfThreeBatches", 3, 10}, Cut{"AtTheirEpochsEnd", 3, 12}),
                         [](const auto& info) { return info.param.name; });

} // namespace moec::train
