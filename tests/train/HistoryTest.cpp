#include "runtime/train/History.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace moec::train {
namespace {

using testing::ElementsAre;

TEST(Bins, HoldMeansAndBoundsOfNeighbours) {
  Bins bins(4);
  for (int64_t i = 1; i <= 4; ++i)
    bins.add(i, "a", static_cast<double>(i));
  EXPECT_EQ(bins.width(), 1);
  bins.add(5, "a", 5); // the fifth place of four: pairs
  EXPECT_EQ(bins.width(), 2);
  EXPECT_EQ(bins.size(), 3);
  const Bins::Series& series = *bins.find("a");
  EXPECT_THAT(series.count, ElementsAre(2, 2, 1));
  EXPECT_THAT(series.low, ElementsAre(1, 3, 5));
  EXPECT_THAT(series.high, ElementsAre(2, 4, 5));
  EXPECT_EQ(Bins::mean(series, 0), 1.5);
  EXPECT_EQ(Bins::mean(series, 2), 5.0);
  EXPECT_EQ(Bins::mean(series, 3), std::nullopt);
  bins.add(17, "a", 17); // twice as wide twice
  EXPECT_EQ(bins.width(), 8);
  EXPECT_THAT(series.count, ElementsAre(5, 0, 1));
  EXPECT_EQ(Bins::mean(series, 0), 3.0);
  EXPECT_EQ(Bins::mean(series, 1), std::nullopt);
  EXPECT_EQ(lastStep(bins, 0, 17), 8);
  EXPECT_EQ(lastStep(bins, 2, 17), 17);
}

/// Whatever the order of halvings: the bins of a hundred thousand places are those of one sum over each of them.
TEST(Bins, AreSumsOverTheirPlaces) {
  Bins bins(50);
  auto value = [](int64_t i) { return std::sin(static_cast<double>(i)); };
  for (int64_t i = 1; i <= 100'000; ++i) {
    bins.add(i, "all", {value(i), 1});
    if (i > 60'000 && i % 3 == 0)
      bins.add(i, "late", value(i));
  }
  EXPECT_EQ(bins.width(), 2048);
  EXPECT_EQ(bins.size(), 49);
  const Bins::Series &all = *bins.find("all"), &late = *bins.find("late");
  for (int64_t bin = 0; bin < bins.size(); ++bin) {
    double sum = 0, lateSum = 0;
    int64_t count = 0, lateCount = 0;
    for (int64_t i = bin * 2048 + 1; i <= std::min<int64_t>((bin + 1) * 2048, 100'000); ++i) {
      sum += value(i);
      ++count;
      if (i > 60'000 && i % 3 == 0)
        lateSum += value(i), ++lateCount;
    }
    auto index = static_cast<size_t>(bin);
    EXPECT_EQ(all.count[index], count);
    EXPECT_NEAR(all.sum[index][0], sum, 1e-9);
    EXPECT_EQ(all.sum[index][1], static_cast<double>(count));
    EXPECT_EQ(late.count[index], lateCount) << bin;
    if (lateCount > 0) {
      EXPECT_NEAR(late.sum[index][0], lateSum, 1e-9);
    }
  }
}

TEST(Bins, LeaveOutWhatIsNotFinite) {
  Bins bins(4);
  bins.add(1, "a", std::nan(""));
  EXPECT_EQ(bins.find("a"), nullptr);
  EXPECT_EQ(bins.size(), 0);
  bins.add(2, "a", 1);
  bins.add(2, "a", INFINITY);
  EXPECT_THAT(bins.find("a")->count, ElementsAre(0, 1));
}

StepRecord step(int64_t number) {
  return {.step = number,
          .epoch = 1,
          .records = 8,
          .loss = 2,
          .learningRate = 1e-3,
          .gradientNorm = 1,
          .seconds = 0.5,
          .tokensPerSecond = 16,
          .load = {{"gate", {3, 0, 1}}},
          .dropped = {{"gate", 4}}};
}

TEST(History, CountsAndKeepsTheBest) {
  History history;
  EXPECT_EQ(history.steps(), 0);
  EXPECT_EQ(history.tokensPerSecond(), 0);
  history.add(step(1));
  history.add(EvaluationRecord{.step = 1, .records = 3, .loss = 1, .seconds = 0.25, .accuracy = 0.5});
  history.add(step(2));
  history.add(EvaluationRecord{.step = 2, .records = 3, .loss = 1, .accuracy = 0.6});
  history.add(EvaluationRecord{.step = 3, .records = 3, .loss = std::nan(""), .accuracy = 0.1});
  EXPECT_EQ(history.steps(), 2);
  EXPECT_EQ(history.records(), 16);
  EXPECT_EQ(history.seconds(), 1.25);
  EXPECT_EQ(history.tokensPerSecond(), 16);
  EXPECT_FALSE(history.countsTokens());
  EXPECT_EQ(history.evaluations(), 3);
  EXPECT_EQ(history.bestEvaluation()->step, 1) << "the first of equals, and no NaN";
  EXPECT_EQ(history.lastEvaluation()->step, 3);
  EXPECT_EQ(history.mostAccurate()->step, 2) << "which need not be the one of the least loss";
  EXPECT_EQ(Bins::mean(*history.curves().find("dropped gate"), 0), 0.5) << "a share of the choices";
  StepRecord long_ = step(3);
  long_.tokensPerSecond = 1600;
  history.add(long_);
  EXPECT_TRUE(history.countsTokens());
}

} // namespace
} // namespace moec::train
