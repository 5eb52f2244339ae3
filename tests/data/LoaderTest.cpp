#include "runtime/data/Loader.h"
#include "runtime/data/Sources.h"
#include "runtime/io/Npy.h"
#include "tests/data/Counting.h"
#include "tests/io/Files.h"

#include <numeric>
#include <optional>

namespace moec::data {
namespace {

using test::Counting;
using Numbers = std::vector<int64_t>;

Numbers numbersOf(const Batch& batch) {
  auto numbers = batch.fields.at("number").as<int64_t>();
  auto pairs = batch.fields.at("pair").as<float>();
  EXPECT_EQ(batch.fields.at("number").shape(), Shape{batch.records});
  EXPECT_EQ(batch.fields.at("pair").shape(), (Shape{batch.records, 2}));
  for (size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_EQ(pairs[2 * i], static_cast<float>(numbers[i]));
    EXPECT_EQ(pairs[2 * i + 1], -static_cast<float>(numbers[i]));
  }
  return {numbers.begin(), numbers.end()};
}

/// Batches of epochs 0 and 1 one after the other.
std::vector<Batch> twoEpochs(const DatasetPtr& dataset, const LoaderOptions& options) {
  Loader loader(dataset, options);
  std::vector<Batch> batches;
  do
    batches.push_back(*loader.next());
  while (batches.back().end.epoch < 2);
  return batches;
}

TEST(Loader, BatchesAreRunsOfTheOrder) {
  auto dataset = std::make_shared<Counting>(10);
  for (int threads : {1, 3}) {
    std::vector<Batch> batches = twoEpochs(dataset, {.batch = 4, .seed = 3, .threads = threads});
    ASSERT_EQ(batches.size(), 6u);
    for (size_t i = 0; i < batches.size(); ++i) {
      int64_t epoch = static_cast<int64_t>(i / 3), first = static_cast<int64_t>(i % 3) * 4, records = std::min<int64_t>(4, 10 - first);
      Numbers order = orderOf(10, 3, epoch, true);
      EXPECT_EQ(numbersOf(batches[i]), Numbers(order.begin() + first, order.begin() + first + records));
      EXPECT_EQ(batches[i].begin, (Place{epoch, first}));
      EXPECT_EQ(batches[i].end, first == 8 ? (Place{epoch + 1, 0}) : (Place{epoch, first + 4}));
    }
  }
}

TEST(Loader, GoesOnFromTheEndOfAnyBatch) {
  auto dataset = std::make_shared<Counting>(10);
  for (bool dropLast : {false, true}) {
    LoaderOptions options{.batch = 3, .seed = 9, .dropLast = dropLast};
    std::vector<Batch> batches = twoEpochs(dataset, options);
    EXPECT_EQ(batches.size(), dropLast ? 6u : 8u);
    for (size_t i = 0; i + 1 < batches.size(); ++i) {
      Loader again(dataset, options, batches[i].end);
      for (size_t j = i + 1; j < batches.size(); ++j) {
        Batch batch = *again.next();
        EXPECT_EQ(numbersOf(batch), numbersOf(batches[j]));
        EXPECT_EQ(batch.begin, batches[j].begin);
        EXPECT_EQ(batch.end, batches[j].end);
      }
    }
  }
}

TEST(Loader, BatchesPerEpoch) {
  auto dataset = std::make_shared<Counting>(10);
  EXPECT_EQ(Loader(dataset, {.batch = 3}).batchesPerEpoch(), 4);
  EXPECT_EQ(Loader(dataset, {.batch = 3, .dropLast = true}).batchesPerEpoch(), 3);
  EXPECT_EQ(Loader(dataset, {.batch = 5}).batchesPerEpoch(), 2);
  EXPECT_EQ(Loader(dataset, {.batch = 11}).batchesPerEpoch(), 1);
  EXPECT_EQ(Loader(dataset, {.batch = INT64_MAX}).batchesPerEpoch(), 1);
}

TEST(Loader, OnceEnds) {
  Loader loader(std::make_shared<Counting>(5), {.batch = 2, .shuffle = false, .once = true}, {3, 2});
  EXPECT_EQ(numbersOf(*loader.next()), (Numbers{2, 3}));
  EXPECT_EQ(numbersOf(*loader.next()), (Numbers{4}));
  EXPECT_FALSE(loader.next());
  EXPECT_FALSE(loader.next());
}

TEST(Loader, UnshuffledEpochsAreAlike) {
  Loader loader(std::make_shared<Counting>(3), {.batch = 2, .shuffle = false});
  for (int epoch = 0; epoch < 3; ++epoch) {
    EXPECT_EQ(numbersOf(*loader.next()), (Numbers{0, 1}));
    EXPECT_EQ(numbersOf(*loader.next()), (Numbers{2}));
  }
}

TEST(Loader, BadRecordFailsAtItsBatch) {
  Loader loader(std::make_shared<Counting>(9, std::set<int64_t>{4}), {.batch = 2, .shuffle = false});
  EXPECT_EQ(numbersOf(*loader.next()), (Numbers{0, 1}));
  EXPECT_EQ(numbersOf(*loader.next()), (Numbers{2, 3}));
  for (int again = 0; again < 2; ++again)
    EXPECT_FAULT(loader.next(), Fault::Data, "number 4: damaged");
}

TEST(Loader, SkipsBadRecords) {
  Loader loader(std::make_shared<Counting>(9, std::set<int64_t>{2, 5, 6, 7, 8}), {.batch = 2, .shuffle = false, .badRecords = BadRecords::Skip});
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    Batch batch = *loader.next();
    EXPECT_EQ(numbersOf(batch), (Numbers{0, 1}));
    EXPECT_TRUE(batch.skipped.empty());
    batch = *loader.next();
    EXPECT_EQ(numbersOf(batch), (Numbers{3}));
    EXPECT_EQ(batch.skipped, (std::vector<std::string>{"number 2: damaged"}));
    batch = *loader.next();
    EXPECT_EQ(numbersOf(batch), (Numbers{4}));
    EXPECT_EQ(batch.skipped, (std::vector<std::string>{"number 5: damaged", "number 6: damaged", "number 7: damaged", "number 8: damaged"}));
    EXPECT_EQ(batch.begin, (Place{epoch, 4}));
    EXPECT_EQ(batch.end, (Place{epoch + 1, 0}));
  }
}

TEST(Loader, SkipsAtTheBeginning) {
  Loader loader(std::make_shared<Counting>(4, std::set<int64_t>{0, 1}), {.batch = 1, .shuffle = false, .once = true, .badRecords = BadRecords::Skip});
  Batch batch = *loader.next();
  EXPECT_EQ(numbersOf(batch), (Numbers{2}));
  EXPECT_EQ(batch.skipped.size(), 2u);
  EXPECT_EQ(batch.begin, (Place{0, 0}));
  EXPECT_EQ(batch.end, (Place{0, 3}));
  EXPECT_EQ(numbersOf(*loader.next()), (Numbers{3}));
  EXPECT_FALSE(loader.next());
}

TEST(Loader, WhatAnEpochSkipsAtItsBeginningIsNotOfTheOneBefore) {
  auto dataset = std::make_shared<Counting>(6, std::set<int64_t>{0, 1});
  LoaderOptions options{.batch = 2, .shuffle = false, .badRecords = BadRecords::Skip};
  std::vector<Batch> batches = twoEpochs(dataset, options);
  ASSERT_EQ(batches.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    int64_t epoch = static_cast<int64_t>(i / 2);
    bool isFirst = i % 2 == 0;
    EXPECT_EQ(numbersOf(batches[i]), isFirst ? (Numbers{2, 3}) : (Numbers{4, 5}));
    EXPECT_EQ(batches[i].skipped.size(), isFirst ? 2u : 0u);
    EXPECT_EQ(batches[i].begin, (Place{epoch, isFirst ? 0 : 4}));
    EXPECT_EQ(batches[i].end, isFirst ? (Place{epoch, 4}) : (Place{epoch + 1, 0}));
  }
  Batch again = *Loader(dataset, options, batches[1].end).next();
  EXPECT_EQ(numbersOf(again), (Numbers{2, 3}));
  EXPECT_EQ(again.end, batches[2].end);
}

TEST(Loader, NothingButBadRecords) {
  std::set<int64_t> all = {0, 1, 2, 3, 4};
  for (bool once : {false, true}) {
    Loader loader(std::make_shared<Counting>(5, all), {.batch = 2, .shuffle = false, .once = once, .badRecords = BadRecords::Skip});
    EXPECT_FAULT(loader.next(), Fault::Data, "the 5 records of an epoch are all bad, the last of them: number 4: damaged");
  }
}

// Neither does the next epoch get them, nor do its own count with them.
TEST(Loader, ALeftOverOfBadRecordsEndsItsEpoch) {
  for (bool once : {false, true})
    for (int64_t size : {1, 2}) {
      Loader rest(std::make_shared<Counting>(5, std::set<int64_t>{0, 3, 4}), {.batch = size, .shuffle = false, .once = once, .badRecords = BadRecords::Skip},
                  {0, 3});
      Batch batch = *rest.next();
      EXPECT_EQ(batch.records, 0);
      EXPECT_EQ(batch.skipped, (std::vector<std::string>{"number 3: damaged", "number 4: damaged"}));
      EXPECT_EQ(batch.begin, (Place{0, 3}));
      EXPECT_EQ(batch.end, (Place{1, 0}));
      if (once) {
        EXPECT_FALSE(rest.next());
        continue;
      }
      batch = *rest.next();
      EXPECT_EQ(numbersOf(batch).front(), 1);
      EXPECT_EQ(batch.skipped, (std::vector<std::string>{"number 0: damaged"}));
      EXPECT_EQ(batch.begin, (Place{1, 0}));
    }
}

// The last three of one epoch and the first two of the next are bad: five records, but not an epoch of five.
TEST(Loader, BadRecordsCountInTheirEpoch) {
  std::set<int64_t> bad{0, 1, 3, 4};
  for (const Place& from : {Place{0, 0}, Place{0, 3}}) {
    Loader loader(std::make_shared<Counting>(5, bad), {.batch = 1, .shuffle = false, .badRecords = BadRecords::Skip}, from);
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      Batch batch = *loader.next();
      EXPECT_EQ(numbersOf(batch), epoch == 0 && from.record == 3 ? Numbers{} : Numbers{2});
      EXPECT_EQ(batch.end, (Place{epoch + 1, 0}));
    }
  }
}

TEST(Loader, AFaultBehindBadRecordsIsTold) {
  auto dataset = std::make_shared<Counting>(6, std::set<int64_t>{0, 1});
  dataset->changed = 3;
  Loader loader(dataset, {.batch = 2, .shuffle = false, .badRecords = BadRecords::Skip});
  EXPECT_FAULT(loader.next(), Fault::Data, "number 3: changed");
}

TEST(Loader, SkipsNoOtherFaults) {
  auto changed = std::make_shared<Counting>(4);
  changed->changed = 2;
  Loader first(changed, {.batch = 2, .shuffle = false, .badRecords = BadRecords::Skip});
  EXPECT_EQ(numbersOf(*first.next()), (Numbers{0, 1}));
  EXPECT_FAULT(first.next(), Fault::Data, "number 2: changed");
  auto full = std::make_shared<Counting>(4);
  full->full = 0;
  Loader second(full, {.batch = 2, .shuffle = false, .badRecords = BadRecords::Skip});
  EXPECT_FAULT(second.next(), Fault::System, "input/output error");
}

TEST(Loader, RefusesWhatCannotBe) {
  auto dataset = std::make_shared<Counting>(4);
  EXPECT_FAULT(Loader(dataset, {.batch = 0}), Fault::Usage, "a batch of 0 records");
  EXPECT_FAULT(Loader(std::make_shared<Counting>(0), {}), Fault::Usage, "there are no records");
  EXPECT_FAULT(Loader(dataset, {.batch = 5, .dropLast = true}), Fault::Usage, "a batch of 5 is never full with 4 records");
  EXPECT_FAULT(Loader(dataset, {}, {0, 5}), Fault::Usage, "no record 5 of epoch 0");
  EXPECT_FAULT(Loader(dataset, {}, {-1, 0}), Fault::Usage, "of epoch -1");
  EXPECT_FAULT(Loader(dataset, {.ahead = 0}), Fault::Usage, "0 batches to read ahead");
}

/// Records read, when there are as many as expected and none has come behind them.
int64_t readsAtRest(const Counting& dataset, int64_t expected) {
  for (int i = 0; i < 5000 && dataset.reads < expected; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  return dataset.reads;
}

TEST(Loader, ReadsAheadAndNoFurther) {
  auto dataset = std::make_shared<Counting>(1000);
  Loader loader(dataset, {.batch = 10, .ahead = 3, .threads = 2});
  EXPECT_EQ(readsAtRest(*dataset, 30), 30);
  loader.next();
  EXPECT_EQ(readsAtRest(*dataset, 40), 40);
}

TEST(Loader, TellsHowLongItWasWaitedFor) {
  auto dataset = std::make_shared<Counting>(1000);
  dataset->pause = std::chrono::milliseconds(100);
  Loader loader(dataset, {.ahead = 4, .threads = 4});
  EXPECT_EQ(loader.secondsWaited(), 0);
  loader.next();
  EXPECT_GE(loader.secondsWaited(), 0.08);
  EXPECT_EQ(readsAtRest(*dataset, 5), 5);
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  double before = loader.secondsWaited();
  for (int i = 0; i < 4; ++i) // they stand there
    loader.next();
  EXPECT_LT(loader.secondsWaited() - before, 0.1);
}

TEST(Loader, ThreadsShareFiles) {
  moec::test::Scratch scratch;
  std::vector<int64_t> numbers(600);
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  writeNpy(scratch.path("number.npy"), Tensor::of<int64_t>(numbers, {300, 2}));
  Loader loader(openArrays(scratch.path("number.npy"), {"number"}), {.batch = 7, .seed = 1, .ahead = 6, .threads = 4});
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    Numbers order = orderOf(300, 1, epoch, true);
    for (size_t i = 0; i < 600;) {
      Batch batch = *loader.next();
      for (int64_t number : batch.fields.at("number").as<int64_t>()) {
        EXPECT_EQ(number, 2 * order[i / 2] + static_cast<int64_t>(i % 2));
        ++i;
      }
    }
  }
}

TEST(Loader, EndsAtAnyMoment) {
  for (int i = 0; i < 60; ++i) {
    auto dataset = std::make_shared<Counting>(100000);
    dataset->pause = std::chrono::microseconds(i % 3 * 30);
    Loader loader(dataset, {.batch = i % 2 ? 1 : 5000, .ahead = 1 + i % 4, .threads = 1 + i % 3});
    if (i % 5 == 0 && i % 2)
      loader.next();
    std::this_thread::sleep_for(std::chrono::microseconds(i * 40));
  }
}

} // namespace
} // namespace moec::data
