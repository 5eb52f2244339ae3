#include "runtime/train/Metrics.h"

#include "runtime/core/Error.h"
#include "tests/e2e/Support.h"
#include "tests/train/Support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <limits>

namespace moec::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> lines(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::vector<std::string> all;
  for (std::string line; std::getline(in, line);)
    all.push_back(line);
  return all;
}

StepRecord step(int64_t number) {
  return {.step = number,
          .epoch = 2,
          .records = 64,
          .loss = 0.1 + 0.2,
          .learningRate = 1e-3,
          .gradientNorm = 2.5,
          .seconds = 0.25,
          .secondsWaited = 0.125,
          .tokensPerSecond = 256,
          .auxLosses = {{"moe.gate.balance_loss", 1.5}},
          .load = {{"moe.gate", {3, 0, 61}}},
          .dropped = {{"moe.gate", 4}}};
}

} // namespace

TEST(Metrics, EachLineSaysWhatItIs) {
  test::TemporaryFolder folder;
  auto file = folder.path() / "metrics.jsonl";
  Metrics metrics(file);
  metrics.add(step(7));
  metrics.add(EvaluationRecord{.step = 7, .records = 10, .loss = 0.5, .seconds = 2, .accuracy = 0.75, .best = true});
  metrics.addCheckpoint(7, "checkpoints/step-00000007");
  metrics.addSkipped(8, "cats/3.png: \xff");
  metrics.addEvent(8, "interrupted");
  EXPECT_THAT(
      lines(file),
      ElementsAre(
          R"({"kind":"step","step":7,"epoch":2,"records":64,"loss":0.30000000000000004,"learning_rate":0.001,"gradient_norm":2.5,"seconds":0.25,"seconds_waited":0.125,)"
          R"("tokens_per_second":256.0,"aux_losses":{"moe.gate.balance_loss":1.5},"load":{"moe.gate":[3.0,0.0,61.0]},"dropped":{"moe.gate":4.0}})",
          R"({"kind":"evaluation","step":7,"records":10,"loss":0.5,"accuracy":0.75,"seconds":2.0,"best":true})",
          R"({"kind":"checkpoint","step":7,"folder":"checkpoints/step-00000007"})",
          "{\"kind\":\"skipped\",\"step\":8,\"message\":\"cats/3.png: \xef\xbf\xbd\"}", R"({"kind":"interrupted","step":8})"))
      << "with the system at once";
}

TEST(Metrics, WhatIsNotFiniteIsNull) {
  test::TemporaryFolder folder;
  auto file = folder.path() / "metrics.jsonl";
  Metrics metrics(file);
  StepRecord record = step(1);
  record.auxLosses["a"] = std::numeric_limits<double>::infinity();
  metrics.add(record);
  EXPECT_TRUE(nlohmann::json::parse(lines(file)[0])["aux_losses"]["a"].is_null());
  Remembering read;
  readMetrics(file, read);
  EXPECT_TRUE(std::isnan(read.steps.at(0).auxLosses.at("a")));
}

TEST(Metrics, AResumedTrainingCutsWhatLiesBehind) {
  test::TemporaryFolder folder;
  auto file = folder.path() / "metrics.jsonl";
  {
    Metrics metrics(file);
    for (int64_t number : {1, 2, 3, 4})
      metrics.add(step(number));
  }
  std::ofstream(file, std::ios::app) << R"({"kind":"step","st)"; // it died here
  {
    Metrics metrics(file, {{.step = 3, .evaluated = -1}});
    EXPECT_EQ(lines(file).size(), 3u);
    metrics.addEvent(3, "resumed");
  }
  EXPECT_THAT(lines(file).back(), R"({"kind":"resumed","step":3})");
  {
    Metrics metrics(file);
  }
  EXPECT_TRUE(lines(file).empty());
}

// A training may die behind an evaluation's line, before the checkpoint of that step knows of it: it is evaluated again.
TEST(Metrics, OfEvaluationsThoseThatTheCheckpointKnowsAreKept) {
  test::TemporaryFolder folder;
  auto file = folder.path() / "metrics.jsonl";
  {
    Metrics metrics(file);
    for (int64_t number : {1, 2, 3, 4}) {
      metrics.add(step(number));
      metrics.add(EvaluationRecord{.step = number});
    }
  }
  auto kept = [&](int64_t step, int64_t evaluated) {
    {
      Metrics metrics(file, {{.step = step, .evaluated = evaluated}});
    }
    Remembering read;
    readMetrics(file, read);
    std::vector<int64_t> evaluations;
    for (const EvaluationRecord& record : read.evaluations)
      evaluations.push_back(record.step);
    EXPECT_EQ(read.steps.size(), static_cast<size_t>(step));
    return evaluations;
  };
  EXPECT_THAT(kept(4, 4), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(kept(4, 3), ElementsAre(1, 2, 3));
  EXPECT_THAT(kept(3, 1), ElementsAre(1));
  EXPECT_THAT(kept(2, -1), ElementsAre()) << "there was none";
}

TEST(Metrics, AreReadBack) {
  test::TemporaryFolder folder;
  auto file = folder.path() / "metrics.jsonl";
  {
    Metrics metrics(file);
    metrics.add(step(7));
    metrics.add(EvaluationRecord{.step = 7, .records = 10, .loss = 0.5, .seconds = 2, .accuracy = 0.75, .auxLosses = {{"a", 1}}, .best = true});
    metrics.addCheckpoint(7, "checkpoints/step-00000007");
    metrics.addSkipped(8, "bad");
  }
  std::ofstream(file, std::ios::app) << R"({"kind":"step","st)";
  Remembering read;
  readMetrics(file, read);
  ASSERT_EQ(read.steps.size(), 1u);
  StepRecord expected = step(7);
  EXPECT_EQ(read.steps[0].loss, expected.loss);
  EXPECT_EQ(read.steps[0].epoch, 2);
  EXPECT_EQ(read.steps[0].secondsWaited, 0.125);
  EXPECT_EQ(read.steps[0].auxLosses, expected.auxLosses);
  EXPECT_EQ(read.steps[0].load, expected.load);
  EXPECT_EQ(read.steps[0].dropped, expected.dropped);
  ASSERT_EQ(read.evaluations.size(), 1u);
  EXPECT_EQ(read.evaluations[0].accuracy, 0.75);
  EXPECT_TRUE(read.evaluations[0].best);
  EXPECT_THAT(read.checkpoints, ElementsAre(folder.path() / "checkpoints/step-00000007"));
  EXPECT_THAT(read.skipped, ElementsAre("bad"));
}

TEST(Metrics, DamageIsNamedWithItsLine) {
  test::TemporaryFolder folder;
  auto file = folder.path() / "metrics.jsonl";
  std::ofstream(file) << "{\"kind\":\"step\",\"step\":1}\n[]\n";
  Remembering read;
  try {
    readMetrics(file, read);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Data);
    EXPECT_THAT(error.what(), HasSubstr("metrics.jsonl:2: damaged"));
  }
  EXPECT_THROW(Metrics(file, {{.step = 5, .evaluated = -1}}), Error);
  EXPECT_EQ(lines(file).size(), 2u) << "as it was";
}

} // namespace moec::train
