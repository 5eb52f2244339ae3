#include "runtime/data/Order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

namespace moec::data {
namespace {

using Order = std::vector<int64_t>;

TEST(Order, IsTheGoldens) { // tests/goldens/order_goldens.py
  EXPECT_EQ(orderOf(10, 0, 0, true), (Order{0, 4, 6, 5, 7, 1, 9, 2, 8, 3}));
  EXPECT_EQ(orderOf(10, 0, 1, true), (Order{6, 7, 3, 8, 4, 1, 9, 0, 2, 5}));
  EXPECT_EQ(orderOf(10, 1, 0, true), (Order{4, 2, 7, 0, 6, 9, 8, 5, 1, 3}));
  EXPECT_EQ(orderOf(10, 0xFEDCBA9876543210, 70000, true), (Order{6, 5, 8, 7, 1, 9, 4, 2, 3, 0}));
}

TEST(Order, UnshuffledIsCounting) { EXPECT_EQ(orderOf(5, 7, 3, false), (Order{0, 1, 2, 3, 4})); }

TEST(Order, SmallSizes) {
  EXPECT_EQ(orderOf(0, 1, 0, true), Order{});
  EXPECT_EQ(orderOf(1, 1, 0, true), Order{0});
}

TEST(Order, EachEpochIsAPermutation) {
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    Order order = orderOf(1000, 5, epoch, true);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, orderOf(1000, 5, epoch, false)) << "epoch " << epoch;
  }
}

// 3000 epochs of 4 records: each of the 24 orders comes 125 times on average with a deviation of 11; five of them is never.
TEST(Order, AllPermutationsAreAlike) {
  std::map<Order, int> counts;
  for (int64_t epoch = 0; epoch < 3000; ++epoch)
    ++counts[orderOf(4, 11, epoch, true)];
  ASSERT_EQ(counts.size(), 24u);
  for (const auto& [order, count] : counts)
    EXPECT_NEAR(count, 125, 55);
}

} // namespace
} // namespace moec::data
