// Trainings that leave out records which cannot be read: what a step is, where an epoch ends, and that they go on to the bit.

#include "runtime/data/Order.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Metrics.h"
#include "tests/train/LoopSupport.h"

#include <gmock/gmock.h>

#include <initializer_list>
#include <set>
#include <stdexcept>

namespace moec::train {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

/// Ten records, of which some cannot be read, one a step, in epochs.
std::pair<Config, data::OpenedData> withBadRecords(const fs::path& out, const std::set<int64_t>& records, int64_t epochs) {
  Config settings = config(out);
  settings.batch = 1;
  settings.steps = 0;
  settings.epochs = epochs;
  settings.schedule.kind = Schedule::Kind::Linear;
  settings.badRecords = data::BadRecords::Skip;
  auto bad = std::make_shared<Points>(10);
  bad->badRecords = records;
  data::OpenedData data = points(10, 4);
  data.train = bad;
  return {settings, data};
}

} // namespace

TEST(BadRecords, AreToldOf) {
  TemporaryFolder out;
  Config settings = config(out.path());
  settings.steps = 7;
  auto bad = std::make_shared<Points>(100);
  bad->badRecords = {30};
  data::OpenedData data = points();
  data.train = bad;
  EXPECT_THAT(problem(Fault::Data, [&] { train(plain(), settings, nullptr, false, -1, data); }), HasSubstr("point 30: cannot be read"));
  settings.badRecords = data::BadRecords::Skip;
  settings.out = out.path() / "skipping";
  Remembering told;
  train(plain(), settings, &told, false, -1, data);
  EXPECT_THAT(told.skipped, ElementsAre("point 30: cannot be read"));
  int64_t records = 0;
  for (const StepRecord& step : told.steps)
    records += step.records;
  EXPECT_EQ(records, 99);
}

// A batch of nothing but bad records is no step: an epoch has fewer than were foretold, and the schedule follows those.
TEST(BadRecords, WhereRecordsAreSkippedTheScheduleGoesOnToo) {
  TemporaryFolder whole;
  auto [settings, data] = withBadRecords(whole.path(), {4}, 2);
  Remembering uninterrupted;
  Outcome expected = train(plain(), settings, &uninterrupted, false, -1, data);
  EXPECT_EQ(uninterrupted.total, 20);
  EXPECT_EQ(expected.steps, 18);
  for (int64_t until : {1, 9, 10, 17}) {
    SCOPED_TRACE(until);
    TemporaryFolder parts;
    settings.out = parts.path();
    EXPECT_EQ(train(plain(), settings, nullptr, false, until, data).steps, until);
    Remembering told;
    Outcome rest = train(plain(), settings, &told, true, -1, data);
    EXPECT_EQ(told.total, 20);
    EXPECT_EQ(told.steps.front().learningRate, uninterrupted.steps.at(static_cast<size_t>(until)).learningRate);
    EXPECT_EQ(filesOf(rest.checkpoint), filesOf(expected.checkpoint));
  }
}

TEST(BadRecords, WhatTheNextEpochWouldSkipKeepsNoTrainingFromItsEnd) {
  TemporaryFolder out;
  auto [settings, data] = withBadRecords(out.path(), {data::orderOf(10, 3, 1, true)[0]}, 1);
  Outcome outcome = train(plain(), settings, nullptr, false, -1, data);
  EXPECT_EQ(readCheckpoint(outcome.checkpoint).place, (data::Place{1, 0}));
  Outcome again = train(plain(), settings, nullptr, true, -1, data);
  EXPECT_EQ(again.end, Outcome::End::Finished);
  EXPECT_EQ(again.steps, outcome.steps);
  settings.epochs = 2;
  Remembering told;
  EXPECT_EQ(train(plain(), settings, &told, true, -1, data).steps, 18);
  EXPECT_THAT(told.skipped, ElementsAre(HasSubstr("cannot be read"))) << "it is of this epoch";
}

namespace {

/// The records of an epoch's places.
std::set<int64_t> recordsAt(int64_t epoch, std::initializer_list<size_t> places) {
  std::vector<int64_t> order = data::orderOf(10, 3, epoch, true);
  std::set<int64_t> records;
  for (size_t place : places)
    records.insert(order[place]);
  return records;
}

std::vector<int64_t> evaluatedSteps(const Remembering& told) {
  std::vector<int64_t> steps;
  for (const EvaluationRecord& evaluation : told.evaluations)
    steps.push_back(evaluation.step);
  return steps;
}

} // namespace

// It failed at the last two records, and goes on without them: the same bytes as of a training that never wanted them.
TEST(BadRecords, AtTheEndOfAnEpochThatGoesOn) {
  for (int64_t epochs : {1, 2}) {
    SCOPED_TRACE(epochs);
    TemporaryFolder whole, parts;
    auto [settings, data] = withBadRecords(whole.path(), recordsAt(0, {8, 9}), epochs);
    settings.checkpointEvery = 1;
    Remembering uninterrupted;
    Outcome expected = train(plain(), settings, &uninterrupted, false, -1, data);
    EXPECT_EQ(expected.steps, 8 * epochs);
    settings.out = parts.path();
    settings.badRecords = data::BadRecords::Fail;
    EXPECT_THAT(problem(Fault::Data, [&] { train(plain(), settings, nullptr, false, -1, data); }), HasSubstr("cannot be read"));
    EXPECT_EQ(readCheckpoint(checkpointFolder(parts.path(), 8)).place, (data::Place{0, 8}));
    settings.badRecords = data::BadRecords::Skip;
    Remembering told;
    Outcome rest = train(plain(), settings, &told, true, -1, data);
    EXPECT_EQ(rest.end, Outcome::End::Finished);
    EXPECT_EQ(told.steps.size(), static_cast<size_t>(8 * (epochs - 1)));
    EXPECT_EQ(told.skipped, uninterrupted.skipped);
    EXPECT_EQ(evaluatedSteps(told), evaluatedSteps(uninterrupted)) << "behind the epoch that ends without a step too";
    EXPECT_EQ(filesOf(rest.checkpoint), filesOf(expected.checkpoint));
    EXPECT_EQ(train(plain(), settings, nullptr, true, -1, data).steps, rest.steps) << "it has ended";
  }
}

// Killed behind an epoch that ended without a step: what is told of its records is told once.
TEST(BadRecords, OfAnEpochWithoutAStepAreToldOnce) {
  TemporaryFolder out;
  auto [settings, data] = withBadRecords(out.path(), recordsAt(0, {8, 9}), 2);
  settings.checkpointEvery = 100;
  data.validation = nullptr; // the best evaluation has a checkpoint
  settings.badRecords = data::BadRecords::Fail;
  train(plain(), settings, nullptr, false, 8, data);
  settings.badRecords = data::BadRecords::Skip;
  Remembering killed;
  killed.afterStep = [](int64_t step) {
    if (step == 10)
      throw std::runtime_error("killed");
  };
  EXPECT_THROW(
      {
        std::atomic<bool> stop = false;
        Trainer trainer(plain().program, "cpu", {.threads = 1}, settings, data);
        trainer.resume();
        trainer.run(killed, stop);
      },
      std::runtime_error);
  EXPECT_GE(killed.skipped.size(), 2u);
  train(plain(), settings, nullptr, true, -1, data);
  Remembering all;
  readMetrics(out.path() / "metrics.jsonl", all);
  EXPECT_EQ(all.skipped.size(), 4u) << "two in each epoch";
}

// It ends the training, which has kept what it learnt.
TEST(BadRecords, LeaveTheStepsBeforeThem) {
  TemporaryFolder whole, parts;
  auto [settings, data] = withBadRecords(whole.path(), recordsAt(0, {6}), 1);
  settings.checkpointEvery = 100;
  Outcome expected = train(plain(), settings, nullptr, false, -1, data);
  settings.out = parts.path();
  settings.badRecords = data::BadRecords::Fail;
  EXPECT_THAT(problem(Fault::Data, [&] { train(plain(), settings, nullptr, false, -1, data); }), HasSubstr("cannot be read"));
  EXPECT_EQ(readCheckpoint(checkpointFolder(parts.path(), 6)).place, (data::Place{0, 6}));
  settings.badRecords = data::BadRecords::Skip;
  EXPECT_EQ(filesOf(train(plain(), settings, nullptr, true, -1, data).checkpoint), filesOf(expected.checkpoint));
}

// Behind a batch of 5, one of 4 has bad records alone, and the good one behind those fills no batch.
TEST(BadRecords, WhatAreLeftOfThemFillNoStepOfTheNextEpoch) {
  for (int64_t validation : {0, 4}) {
    SCOPED_TRACE(validation);
    TemporaryFolder out;
    auto [settings, data] = withBadRecords(out.path(), recordsAt(0, {5, 6, 7, 8}), 1);
    if (validation == 0)
      data.validation = nullptr;
    settings.dropLast = true;
    settings.batch = 5;
    EXPECT_EQ(train(plain(), settings, nullptr, false, 1, data).steps, 1);
    settings.batch = 4;
    for (size_t skipped : {4, 0}) { // once it has ended it is at an end
      Remembering told;
      Outcome outcome = train(plain(), settings, &told, true, -1, data);
      EXPECT_EQ(outcome.end, Outcome::End::Finished);
      EXPECT_EQ(outcome.steps, 1);
      EXPECT_TRUE(told.steps.empty());
      EXPECT_EQ(told.skipped.size(), skipped);
      EXPECT_EQ(told.evaluations.size(), skipped > 0 && validation > 0 ? 1u : 0u);
      EXPECT_EQ(readCheckpoint(outcome.checkpoint).place, (data::Place{1, 0}));
    }
    settings.epochs = 2;
    Remembering told;
    train(plain(), settings, &told, true, -1, data);
    ASSERT_FALSE(told.steps.empty());
    for (const StepRecord& step : told.steps)
      EXPECT_EQ(step.epoch, 1);
  }
}

TEST(BadRecords, AFaultBehindThemIsFollowed) {
  TemporaryFolder out;
  auto [settings, data] = withBadRecords(out.path(), recordsAt(0, {9}), 2);
  data.validation = nullptr;
  settings.checkpointEvery = 1;
  settings.badRecords = data::BadRecords::Fail;
  problem(Fault::Data, [&] { train(plain(), settings, nullptr, false, -1, data); });
  auto bad = std::make_shared<Points>(10);
  bad->badRecords = recordsAt(0, {9});
  std::vector<int64_t> next = data::orderOf(10, 3, 1, true);
  bad->nanRecord = bad->badRecords.contains(next[0]) ? next[1] : next[0]; // that the next epoch begins with
  data.train = bad;
  settings.badRecords = data::BadRecords::Skip;
  settings.checkpointEvery = 100; // what is done again begins behind the epoch that ends without a step
  EXPECT_THAT(problem(Fault::Data, [&] { train(plain(), settings, nullptr, true, -1, data); }),
              testing::AllOf(HasSubstr("step 10: the loss is nan"), HasSubstr("it began with the data: of input 'x'"), HasSubstr(bad->placeOf(bad->nanRecord))));
}

} // namespace moec::train
