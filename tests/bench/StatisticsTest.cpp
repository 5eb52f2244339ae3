#include "runtime/bench/Statistics.h"

#include <gtest/gtest.h>

namespace moec::bench {
namespace {

TEST(Statistics, MedianAndMiddleHalf) {
  Spread five = spreadOf({5, 1, 4, 2, 3});
  EXPECT_EQ(five.median, 3);
  EXPECT_EQ(five.low, 2);
  EXPECT_EQ(five.high, 4);
  Spread four = spreadOf({40, 10, 30, 20}); // a quarter of the way from the first to the last of three steps: 17.5
  EXPECT_EQ(four.median, 25);
  EXPECT_EQ(four.low, 17.5);
  EXPECT_EQ(four.high, 32.5);
  EXPECT_EQ(four.half(), 7.5);
  EXPECT_EQ(spreadOf({7}).high, 7);
  EXPECT_EQ(quantileOf({1, 2, 4}, 0.75), 3);
  EXPECT_EQ(spreadOf({}).median, 0);
}

// A machine that slows down by the same factor for all leaves the ratios as they were.
TEST(Statistics, RatiosAreOfTheSameRepetition) {
  Spread ratio = ratioOf({2, 20, 200}, {1, 10, 100});
  EXPECT_EQ(ratio.median, 2);
  EXPECT_EQ(ratio.low, 2);
  EXPECT_EQ(ratio.high, 2);
}

TEST(Statistics, ContestantsTakeTurns) {
  std::string order;
  auto contestant = [&](char letter) {
    return Contestant{std::string(1, letter), [&order, letter] {
                        order += letter;
                        return static_cast<double>(order.size());
                      }};
  };
  auto times = runByTurns({contestant('a'), contestant('b'), contestant('c')}, 3);
  EXPECT_EQ(order, "abc"
                   "abc"
                   "bca"
                   "cab");
  ASSERT_EQ(times.size(), 3u);
  EXPECT_EQ(times[0], (std::vector<double>{4, 9, 11}));
  EXPECT_EQ(times[2], (std::vector<double>{6, 8, 10}));
}

} // namespace
} // namespace moec::bench
