#include "runtime/train/Schedule.h"

#include "runtime/core/Error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace moec::train {

using Kind = Schedule::Kind;
using testing::HasSubstr;

TEST(Schedule, ConstantGrowsInItsWarmupAndStays) {
  Schedule schedule{.peak = 0.8, .warmup = 4, .total = 10};
  EXPECT_DOUBLE_EQ(schedule.at(1), 0.2);
  EXPECT_DOUBLE_EQ(schedule.at(3), 0.6);
  EXPECT_DOUBLE_EQ(schedule.at(4), 0.8);
  EXPECT_DOUBLE_EQ(schedule.at(10), 0.8);
  EXPECT_DOUBLE_EQ(Schedule{.peak = 0.8}.at(1), 0.8) << "no warmup: the peak from the first step on";
}

TEST(Schedule, LinearEndsAtItsShare) {
  Schedule schedule{.kind = Kind::Linear, .peak = 2, .warmup = 2, .total = 12, .last = 0.1};
  EXPECT_DOUBLE_EQ(schedule.at(2), 2);
  EXPECT_DOUBLE_EQ(schedule.at(7), 1.1) << "half the way";
  EXPECT_DOUBLE_EQ(schedule.at(12), 0.2);
  EXPECT_DOUBLE_EQ(schedule.at(1000), 0.2) << "behind the last step as at it";
}

TEST(Schedule, CosineIsHalfAWave) {
  Schedule schedule{.kind = Kind::Cosine, .peak = 1, .warmup = 0, .total = 8, .last = 0};
  for (int64_t step = 1; step <= 8; ++step)
    EXPECT_NEAR(schedule.at(step), 0.5 * (1 + std::cos(M_PI * static_cast<double>(step) / 8)), 1e-15) << step;
  schedule.last = 0.5;
  EXPECT_NEAR(schedule.at(4), 0.75, 1e-15);
  EXPECT_DOUBLE_EQ(schedule.at(8), 0.5);
}

TEST(Schedule, InverseSquareRootFollowsItsWarmup) {
  Schedule schedule{.kind = Kind::InverseSquareRoot, .peak = 1, .warmup = 4, .total = 100};
  EXPECT_DOUBLE_EQ(schedule.at(2), 0.5);
  EXPECT_DOUBLE_EQ(schedule.at(4), 1);
  EXPECT_DOUBLE_EQ(schedule.at(16), 0.5);
  EXPECT_DOUBLE_EQ(schedule.at(100), 0.2);
  schedule.warmup = 0;
  EXPECT_DOUBLE_EQ(schedule.at(4), 0.5);
}

TEST(Schedule, AWarmupAsLongAsTheTrainingNeverGoesDown) {
  for (Kind kind : {Kind::Constant, Kind::Linear, Kind::Cosine, Kind::InverseSquareRoot})
    for (int64_t warmup : {10, 20}) {
      Schedule schedule{.kind = kind, .peak = 1, .warmup = warmup, .total = 10};
      for (int64_t step = 1; step <= 10; ++step)
        EXPECT_DOUBLE_EQ(schedule.at(step), static_cast<double>(step) / static_cast<double>(warmup));
    }
}

TEST(Schedule, WordsAreThoseOfTheKinds) {
  for (size_t i = 0; i < scheduleNames().size(); ++i)
    EXPECT_EQ(static_cast<size_t>(parseSchedule(scheduleNames()[i])), i);
  try {
    parseSchedule("cosin");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::Usage);
    EXPECT_THAT(error.what(), HasSubstr("did you mean \"cosine\"?"));
  }
}

} // namespace moec::train
