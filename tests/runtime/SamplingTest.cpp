#include "runtime/Sampling.h"
#include "runtime/core/Error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace moec {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

/// Scores of probabilities 1/8, 1/2, 1/8, 1/4.
std::vector<float> scores() { return {std::log(0.125f), std::log(0.5f), std::log(0.125f), std::log(0.25f)}; }

std::vector<int64_t> drawn(const std::vector<float>& scores, SamplingOptions options, int64_t sequence = 0) {
  std::vector<int64_t> result;
  for (int64_t position = 0; position < 24; ++position)
    result.push_back(sampleToken(scores, options, sequence, position));
  return result;
}

using Tokens = std::vector<int64_t>;

// All lists by tests/goldens/sampling_goldens.py.
TEST(Sampling, WorkedExamples) {
  EXPECT_EQ(drawn(scores(), {.temperature = 1, .seed = 7}), (Tokens{0, 1, 1, 2, 1, 2, 3, 1, 1, 3, 1, 1, 1, 1, 3, 0, 1, 1, 3, 1, 1, 3, 1, 1}));
  EXPECT_EQ(drawn(scores(), {.temperature = 0.5, .seed = 7}), (Tokens{3, 1, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(drawn(scores(), {.temperature = 1, .topK = 2, .seed = 7}), (Tokens{3, 1, 1, 3, 1, 3, 1, 1, 1, 3, 1, 1, 1, 1, 1, 3, 1, 1, 3, 1, 1, 1, 1, 1}));
  EXPECT_EQ(drawn(scores(), {.temperature = 1, .topK = 3, .seed = 7}), (Tokens{3, 1, 1, 0, 1, 0, 3, 1, 1, 3, 1, 1, 1, 1, 3, 3, 1, 1, 3, 1, 1, 3, 1, 1}));
  EXPECT_EQ(drawn(scores(), {.temperature = 1, .topP = 0.7, .seed = 7}), (Tokens{3, 1, 1, 3, 1, 3, 1, 1, 1, 3, 1, 1, 1, 1, 1, 3, 1, 1, 3, 1, 1, 1, 1, 1}));
  EXPECT_EQ(drawn(scores(), {.temperature = 1, .topP = 0.8, .seed = 7}), (Tokens{3, 1, 1, 0, 1, 0, 3, 1, 1, 3, 1, 1, 1, 1, 3, 3, 1, 1, 3, 1, 1, 3, 1, 1}));
  // Probabilities count among the tokens that top_k leaves.
  EXPECT_EQ(drawn(scores(), {.temperature = 1, .topK = 3, .topP = 0.8, .seed = 7}),
            (Tokens{3, 1, 1, 3, 1, 3, 1, 1, 1, 3, 1, 1, 1, 1, 1, 3, 1, 1, 3, 1, 1, 1, 1, 1}));
}

TEST(Sampling, SeedAndSequenceKeyTheDraw) {
  EXPECT_EQ(drawn(scores(), {.temperature = 1, .seed = 8}), (Tokens{1, 1, 0, 0, 2, 2, 1, 0, 1, 2, 3, 1, 1, 0, 1, 0, 3, 0, 1, 1, 1, 1, 3, 0}));
  EXPECT_EQ(drawn(scores(), {.temperature = 1, .seed = 7}, 1), (Tokens{3, 1, 1, 0, 1, 0, 1, 1, 1, 3, 1, 3, 2, 3, 3, 2, 3, 0, 0, 0, 1, 1, 1, 1}));
}

TEST(Sampling, GreedyTakesTheFirstOfTheHighest) {
  EXPECT_EQ(sampleToken(std::vector<float>{1, 3, 3, 2}, {}, 0, 0), 1);
  EXPECT_EQ(sampleToken(std::vector<float>{kNone, -5, kNone, -5}, {.topK = 1, .topP = 0.1}, 3, 9), 1);
  EXPECT_EQ(sampleToken(std::vector<float>{0.0f, -0.0f}, {}, 0, 0), 0);
}

TEST(Sampling, OfEqualScoresTheLowerIdStandsFirst) {
  std::vector<float> equal{2, 2, 2, 2};
  for (int64_t position = 0; position < 200; ++position) {
    EXPECT_LT(sampleToken(equal, {.temperature = 1, .topK = 2}, 0, position), 2);
    EXPECT_LT(sampleToken(equal, {.temperature = 1, .topP = 0.5}, 0, position), 2); // exactly one half
    EXPECT_LT(sampleToken(equal, {.temperature = 1, .topP = 0.51}, 0, position), 3);
    EXPECT_EQ(sampleToken(equal, {.temperature = 1, .topP = 1e-9}, 0, position), 0); // one at least
  }
}

TEST(Sampling, WhatHasNoProbabilityIsNeverDrawn) {
  std::vector<float> masked{kNone, 0, kNone, 0, kNone};
  std::vector<float> far{-1e30f, 0, 3e38f, -3e38f};
  Tokens seen(5);
  for (int64_t position = 0; position < 500; ++position) {
    ++seen[static_cast<size_t>(sampleToken(masked, {.temperature = 1}, 0, position))];
    EXPECT_EQ(sampleToken(far, {.temperature = 1e-300}, 0, position), 2);
    EXPECT_EQ(sampleToken(far, {.temperature = 1}, 0, position), 2);
  }
  EXPECT_EQ(seen[0] + seen[2] + seen[4], 0);
  EXPECT_GT(seen[1], 200);
  EXPECT_GT(seen[3], 200);
}

TEST(Sampling, AHighTemperatureMakesAllAlike) {
  Tokens seen(4);
  for (int64_t position = 0; position < 4000; ++position)
    ++seen[static_cast<size_t>(sampleToken(std::vector<float>{-50, 0, 50, 100}, {.temperature = 1e9}, 0, position))];
  for (int64_t count : seen)
    EXPECT_NEAR(static_cast<double>(count), 1000, 5 * std::sqrt(1000 * 0.75));
}

TEST(Sampling, DoublesAreNotRounded) {
  EXPECT_EQ(sampleToken(std::vector<double>{1, 1 + 1e-12}, {}, 0, 0), 1);
  EXPECT_EQ(sampleToken(std::vector<double>{-1e300, 1e300, -HUGE_VAL}, {.temperature = 1}, 0, 0), 1);
  std::vector<float> narrow = scores();
  std::vector<double> wide(narrow.begin(), narrow.end());
  for (int64_t position = 0; position < 24; ++position)
    EXPECT_EQ(sampleToken(wide, {.temperature = 1, .seed = 7}, 0, position), sampleToken(narrow, {.temperature = 1, .seed = 7}, 0, position));
}

TEST(Sampling, WhatIsWrong) {
  auto fault = [](std::vector<float> scores, SamplingOptions options, int64_t sequence = 0, int64_t position = 0) {
    try {
      sampleToken(scores, options, sequence, position);
    } catch (const Error& error) {
      return std::pair(error.fault(), std::string(error.what()));
    }
    return std::pair(Fault::Internal, std::string("no error"));
  };
  auto is = [](Fault wanted, const std::string& text) { return testing::Pair(wanted, testing::HasSubstr(text)); };
  float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(fault({1, nan}, {}), is(Fault::Data, "the score of token 1 is nan"));
  EXPECT_THAT(fault({1, 2, -kNone}, {.temperature = 1}), is(Fault::Data, "the score of token 2 is inf"));
  EXPECT_THAT(fault({kNone, kNone}, {}), is(Fault::Data, "none of 2 scores is finite"));
  EXPECT_THAT(fault({}, {}), is(Fault::Data, "none of 0 scores is finite"));
  EXPECT_THAT(fault({1}, {.temperature = -0.5}), is(Fault::Usage, "a temperature of -0.5"));
  EXPECT_THAT(fault({1}, {.temperature = std::nan("")}), is(Fault::Usage, "a temperature of nan"));
  EXPECT_THAT(fault({1}, {.temperature = HUGE_VAL}), is(Fault::Usage, "a temperature of inf"));
  EXPECT_THAT(fault({1}, {.topK = -1}), is(Fault::Usage, "top_k of -1"));
  EXPECT_THAT(fault({1}, {.topP = 0}), is(Fault::Usage, "top_p of 0"));
  EXPECT_THAT(fault({1}, {.topP = 1.5}), is(Fault::Usage, "top_p of 1.5"));
  EXPECT_THAT(fault({1}, {.topP = std::nan("")}), is(Fault::Usage, "top_p of nan"));
  EXPECT_THAT(fault({1}, {}, -1), is(Fault::Usage, "sequence -1"));
  EXPECT_THAT(fault({1}, {}, 0, -1), is(Fault::Usage, "position -1"));
}

} // namespace
} // namespace moec
