#include "runtime/data/Dataset.h"
#include "tests/data/Counting.h"
#include "tests/io/Files.h"

#include <algorithm>
#include <cmath>

namespace moec::data {
namespace {

using test::Counting;

int64_t numberOf(const Dataset& dataset, int64_t record) {
  int64_t number = -1;
  float pair[2];
  std::byte* fields[] = {reinterpret_cast<std::byte*>(&number), reinterpret_cast<std::byte*>(pair)};
  dataset.read(record, fields);
  return number;
}

std::vector<int64_t> numbersOf(const Dataset& dataset) {
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < dataset.size(); ++i)
    numbers.push_back(numberOf(dataset, i));
  return numbers;
}

TEST(Subset, HasItsOwnOrder) {
  auto some = subset(std::make_shared<Counting>(10), {7, 0, 7});
  EXPECT_EQ(numbersOf(*some), (std::vector<int64_t>{7, 0, 7}));
  EXPECT_EQ(some->placeOf(1), "number 0");
  EXPECT_EQ(some->describe(), "3 of counting: 10 numbers");
}

TEST(Subset, DigestFollowsRecords) {
  auto whole = std::make_shared<Counting>(10);
  EXPECT_EQ(subset(whole, {1, 2})->digest(), subset(whole, {1, 2})->digest());
  EXPECT_NE(subset(whole, {1, 2})->digest(), subset(whole, {2, 1})->digest());
  EXPECT_NE(subset(whole, {1, 2})->digest(), whole->digest());
}

TEST(Subset, RefusesWhatIsNotThere) {
  EXPECT_FAULT(subset(std::make_shared<Counting>(10), {3, 10}), Fault::Usage, "there is no record 10");
  EXPECT_FAULT(subset(std::make_shared<Counting>(10), {-1}), Fault::Usage, "there is no record -1");
  EXPECT_FAULT(numberOf(*subset(std::make_shared<Counting>(10), {3}), 1), Fault::Usage, "record 1 of 1");
}

TEST(SplitDataset, PartsAreTheWhole) {
  auto [train, validation] = split(std::make_shared<Counting>(103), 0.2, 5);
  EXPECT_EQ(train->size(), 82);
  EXPECT_EQ(validation->size(), 21);
  std::vector<int64_t> learnt = numbersOf(*train), held = numbersOf(*validation);
  EXPECT_TRUE(std::is_sorted(learnt.begin(), learnt.end()));
  EXPECT_TRUE(std::is_sorted(held.begin(), held.end()));
  std::set<int64_t> all(learnt.begin(), learnt.end());
  all.insert(held.begin(), held.end());
  EXPECT_EQ(all.size(), 103u);
}

TEST(SplitDataset, IsDrawnByTheSeed) {
  auto whole = std::make_shared<Counting>(100);
  auto held = [&](uint64_t seed) { return numbersOf(*split(whole, 0.1, seed).validation); };
  EXPECT_EQ(held(1), held(1));
  EXPECT_NE(held(1), held(2));
  EXPECT_NE(held(1), (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(SplitDataset, RefusesEmptyParts) {
  auto four = std::make_shared<Counting>(4);
  EXPECT_FAULT(split(four, 0.1, 0), Fault::Data, "leaves 4 records to learn from and 0 to validate with");
  EXPECT_FAULT(split(four, 0.9, 0), Fault::Data, "leaves 0 records to learn from and 4 to validate with");
  for (double share : {0.0, 1.0, -0.5, std::nan("")})
    EXPECT_FAULT(split(four, share, 0), Fault::Usage, "cannot be held out");
}

} // namespace
} // namespace moec::data
