// Owner of: what is said of batches that a model does not take, and which size is named instead.
#include "runtime/train/BatchSizes.h"

#include "runtime/core/Error.h"
#include "tests/train/Problem.h"
#include "tests/train/Support.h"

#include <gtest/gtest.h>

namespace moec::train {
namespace {

/// Records of points, and a model that takes batches of some sizes.
BatchUse use(int64_t records, std::function<bool(int64_t)> takes, bool dropLast = false, const std::string& what = "training") {
  auto check = [=](const TensorMap& batch) {
    int64_t size = batch.at("x").shape()[0];
    EXPECT_EQ(batch.at("x").shape(), (Shape{size, 8}));
    EXPECT_EQ(batch.at("label").shape(), Shape{size});
    if (!takes(size))
      throw Error(Fault::Usage, std::to_string(size) + " are not taken");
  };
  return {what, std::make_shared<Points>(records), dropLast, check};
}

std::string said(const std::vector<BatchUse>& uses, int64_t batch) {
  return problem(Fault::Usage, [&] { checkBatchSizes(uses, batch); });
}

auto multiplesOf(int64_t number) {
  return [=](int64_t size) { return size % number == 0; };
}
auto atLeast(int64_t number) {
  return [=](int64_t size) { return size >= number; };
}

TEST(BatchSizes, WhatIsTakenIsNoError) {
  EXPECT_EQ(said({use(12, multiplesOf(3))}, 6), "");
  EXPECT_EQ(said({use(12, multiplesOf(12))}, 100), "") << "one batch of all";
  EXPECT_EQ(said({use(14, multiplesOf(3), /*dropLast=*/true)}, 6), "") << "the two that are left are left out";
  EXPECT_EQ(said({}, 7), "");
}

/// The nearest one, of two as near the smaller one.
TEST(BatchSizes, ASizeNearbyIsNamed) {
  EXPECT_EQ(said({use(12, multiplesOf(3))}, 4), "training: a batch of 4 records is not possible: 4 are not taken; --batch 3 is possible");
  EXPECT_EQ(said({use(12, multiplesOf(6))}, 4), "training: a batch of 4 records is not possible: 4 are not taken; --batch 6 is possible");
  EXPECT_EQ(said({use(20, [](int64_t size) { return size == 4 || size == 10; })}, 7),
            "training: a batch of 7 records is not possible: 7 are not taken; --batch 4 is possible")
      << "ten are as near";
  EXPECT_EQ(said({use(12, multiplesOf(12))}, 5), "training: a batch of 5 records is not possible: 5 are not taken; --batch 12 is possible");
}

TEST(BatchSizes, NoneIsNamedThatIsTooFar) {
  EXPECT_EQ(said({use(200, multiplesOf(100))}, 36), "training: a batch of 36 records is not possible: 36 are not taken; --batch 100 is possible");
  EXPECT_EQ(said({use(200, multiplesOf(100))}, 35), "training: a batch of 35 records is not possible: 35 are not taken");
}

TEST(BatchSizes, TheLastBatchOfAnEpochMayBeLeftOut) {
  EXPECT_EQ(said({use(100, atLeast(26))}, 40),
            "training: the last batch of an epoch has 20 of 100 records: 20 are not taken; --batch 37 is possible, or --drop-last leaves such a batch out");
  EXPECT_EQ(said({use(301, multiplesOf(150))}, 150),
            "training: the last batch of an epoch has 1 of 301 records: 1 are not taken; --drop-last leaves such a batch out")
      << "no other size is possible";
  EXPECT_EQ(said({use(20, atLeast(30))}, 30), "training: a batch of 20 records is not possible: 20 are not taken")
      << "the only batch of an epoch is not its last";
}

/// Evaluations see all records: nothing of theirs is left out.
TEST(BatchSizes, TheNamedSizeIsOneForAllUses) {
  std::vector<BatchUse> both{use(60, multiplesOf(2)), use(30, multiplesOf(3), false, "evaluation")};
  EXPECT_EQ(said(both, 4), "evaluation: a batch of 4 records is not possible: 4 are not taken; --batch 6 is possible") << "three are none for the first";
  std::vector<BatchUse> last{use(60, atLeast(1)), use(30, atLeast(3), false, "evaluation")};
  EXPECT_EQ(said(last, 14), "evaluation: the last batch of an epoch has 2 of 30 records: 2 are not taken; --batch 13 is possible");
}

TEST(BatchSizes, WhatIsNeverFullIsNoBatch) {
  EXPECT_EQ(said({use(12, atLeast(1), /*dropLast=*/true)}, 13),
            "training: a batch of 13 is never full with 12 records, and what is not full is left out: give a --batch of at most 12");
  EXPECT_EQ(said({use(12, multiplesOf(5), true)}, 12), "training: a batch of 12 records is not possible: 12 are not taken; --batch 10 is possible");
  EXPECT_EQ(said({use(12, multiplesOf(13), true)}, 12), "training: a batch of 12 records is not possible: 12 are not taken") << "13 are never full";
}

TEST(BatchSizes, OtherErrorsAreTheirOwn) {
  BatchUse broken = use(12, atLeast(1));
  broken.check = [](const TensorMap&) { throw Error(Fault::Internal, "broken"); };
  EXPECT_EQ(problem(Fault::Internal, [&] { checkBatchSizes({broken}, 3); }), "broken");
}

/// What all records share is in a batch once.
TEST(BatchSizes, WhatRecordsShareHasNoSizeForThem) {
  data::Field field{.name = "blend", .shape = {2, 3}};
  EXPECT_EQ(data::batchShape(field, 5), (Shape{5, 2, 3}));
  field.shared = true;
  EXPECT_EQ(data::batchShape(field, 5), (Shape{2, 3}));
}

} // namespace
} // namespace moec::train
