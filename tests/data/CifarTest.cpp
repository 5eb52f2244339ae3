#include "runtime/data/Sources.h"
#include "tests/data/Records.h"

namespace moec::data {
namespace {

using namespace test;
using moec::test::Scratch;

/// A record whose points are `first`, `first` + 1 .. modulo 251.
std::string record(const std::string& labels, int first) {
  std::string result = labels;
  for (int i = 0; i < 3072; ++i)
    result.push_back(static_cast<char>((first + i) % 251));
  return result;
}

TEST(Cifar, Ten) {
  Scratch scratch;
  scratch.file("data_batch_1.bin", record(bytes({3}), 0) + record(bytes({9}), 7));
  scratch.file("data_batch_2.bin", record(bytes({0}), 100));
  scratch.file("test_batch.bin", record(bytes({1}), 5));
  scratch.file("batches.meta.txt", "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
  auto [train, validation] = openCifar(scratch.path(""));
  EXPECT_EQ(train->size(), 3);
  EXPECT_EQ(validation->size(), 1);
  ASSERT_EQ(train->fields().size(), 2u);
  EXPECT_EQ(train->fields()[0].shape, (Shape{3, 32, 32}));
  EXPECT_EQ(train->fields()[1].below, 10);
  EXPECT_EQ(train->fields()[1].words[3], "cat");
  for (auto [record, label, first] : {std::tuple(0, 3, 0), {1, 9, 7}, {2, 0, 100}}) {
    EXPECT_EQ(integer(*train, record, "label"), label);
    std::vector<double> points = numbers(*train, record, "image");
    for (size_t i = 0; i < points.size(); ++i)
      ASSERT_EQ(points[i], (first + static_cast<int>(i)) % 251);
  }
  EXPECT_THAT(train->placeOf(1), ::testing::EndsWith("data_batch_1.bin: record 1 (byte 3073)"));
  EXPECT_THAT(train->placeOf(2), ::testing::EndsWith("data_batch_2.bin: record 0 (byte 0)"));
  EXPECT_FAULT(recordOf(*train, 3), Fault::Usage, "there is no record 3");
}

TEST(Cifar, Hundred) {
  Scratch scratch;
  scratch.file("train.bin", record(bytes({19, 99}), 1));
  auto [train, validation] = openCifar(scratch.path(""));
  EXPECT_FALSE(validation);
  EXPECT_EQ(integer(*train, 0, "label"), 99);
  EXPECT_EQ(integer(*train, 0, "coarse_label"), 19);
  EXPECT_EQ(numbers(*train, 0, "image")[0], 1);
  EXPECT_EQ(train->fields()[1].below, 100);
  EXPECT_EQ(train->fields()[2].below, 20);
  EXPECT_EQ(openCifar(scratch.path("train.bin")).train->fields().size(), 3u);
}

TEST(Cifar, LabelsThatAreNoneAreBadRecords) {
  Scratch scratch;
  auto [train, validation] = openCifar(scratch.file("x.bin", record(bytes({9}), 0) + record(bytes({10}), 0)));
  EXPECT_EQ(integer(*train, 0, "label"), 9);
  EXPECT_FAULT(recordOf(*train, 1), Fault::Data, "x.bin: record 1 (byte 3073): label 10, but there are 10 classes");
  auto [fine, none] = openCifar(scratch.file("y.bin", record(bytes({20, 5}), 0)));
  EXPECT_FAULT(recordOf(*fine, 0), Fault::Data, "coarse_label 20, but there are 20 classes");
}

TEST(Cifar, RefusesOtherSizes) {
  Scratch scratch;
  EXPECT_FAULT(openCifar(scratch.file("x.bin", std::string(3000, 0))), Fault::Data,
               "3000 bytes are no whole number of records, neither of CIFAR-10's 3073 nor of CIFAR-100's 3074");
  EXPECT_FAULT(openCifar(scratch.file("x.bin", "")), Fault::Data, "x.bin: the file is empty");
  EXPECT_FAULT(openCifar(scratch.path("")), Fault::Data, "neither CIFAR-10's data_batch_1.bin nor CIFAR-100's train.bin");
  scratch.file("data_batch_1.bin", std::string(3074, 0));
  EXPECT_FAULT(openCifar(scratch.path("")), Fault::Data, "data_batch_1.bin: 3074 bytes are no whole number of CIFAR-10's records");
  scratch.file("data_batch_1.bin", std::string(3073, 0));
  scratch.file("data_batch_3.bin", std::string(3073, 0));
  EXPECT_FAULT(openCifar(scratch.path("")), Fault::Data, "data_batch_2.bin is missing");
  std::filesystem::remove(scratch.path("data_batch_3.bin"));
  scratch.file("batches.meta.txt", "one\ntwo\n");
  EXPECT_FAULT(openCifar(scratch.path("")), Fault::Data, "batches.meta.txt: 2 names for 10 classes");
}

} // namespace
} // namespace moec::data
