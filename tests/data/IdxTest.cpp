#include "runtime/data/Sources.h"
#include "tests/data/Records.h"

#include <filesystem>

namespace moec::data {
namespace {

using namespace test;
using moec::test::Scratch;

/// Three pictures of 2 x 3 whose points are 10 * picture + place, and labels 4, 0, 9.
std::string images() {
  std::string points;
  for (int picture = 0; picture < 3; ++picture)
    for (int place = 0; place < 6; ++place)
      points.push_back(static_cast<char>(10 * picture + place));
  return idx({3, 2, 3}, points);
}
std::string labels() { return idx({3}, bytes({4, 0, 9})); }

TEST(Idx, PairsOfFiles) {
  Scratch scratch;
  scratch.file("train-labels-idx1-ubyte", labels());
  auto [train, validation] = openIdx(scratch.file("train-images-idx3-ubyte", images()));
  EXPECT_FALSE(validation);
  EXPECT_EQ(train->size(), 3);
  ASSERT_EQ(train->fields().size(), 2u);
  EXPECT_EQ(train->fields()[0].shape, (Shape{2, 3}));
  EXPECT_TRUE(train->fields()[0].picture);
  EXPECT_EQ(train->fields()[1].below, 10);
  EXPECT_EQ(numbers(*train, 2, "image"), (std::vector<double>{20, 21, 22, 23, 24, 25}));
  EXPECT_EQ(integer(*train, 0, "label"), 4);
  EXPECT_EQ(integer(*train, 2, "label"), 9);
  EXPECT_EQ(train->describe(), "train-images-idx3-ubyte: 3 images of 10 classes");
  EXPECT_THAT(train->placeOf(2), ::testing::EndsWith("train-images-idx3-ubyte: image 2"));
  EXPECT_FAULT(recordOf(*train, 3), Fault::Usage, "there is no image 3");
}

TEST(Idx, FolderHoldsOutItsTestPart) {
  Scratch scratch;
  scratch.file("train-images-idx3-ubyte", images());
  scratch.file("train-labels-idx1-ubyte", labels());
  scratch.file("t10k-images-idx3-ubyte", idx({1, 2, 3}, "abcdef"));
  scratch.file("t10k-labels-idx1-ubyte", idx({1}, bytes({1})));
  auto [train, validation] = openIdx(scratch.path(""));
  EXPECT_EQ(train->size(), 3);
  ASSERT_TRUE(validation);
  EXPECT_EQ(validation->size(), 1);
  EXPECT_NE(train->digest(), validation->digest());
  scratch.file("other-images-idx3-ubyte", images());
  EXPECT_FAULT(openIdx(scratch.path("")), Fault::Data, "several files of images: other-images-idx3-ubyte, t10k-images-idx3-ubyte, train-images-idx3-ubyte");
}

TEST(Idx, DigestIsOfBothFiles) {
  Scratch scratch;
  scratch.file("a-labels-idx1-ubyte", labels());
  auto path = scratch.file("a-images-idx3-ubyte", images());
  std::string before = openIdx(path).train->digest();
  EXPECT_EQ(openIdx(path).train->digest(), before);
  scratch.file("a-labels-idx1-ubyte", idx({3}, bytes({4, 1, 9})));
  EXPECT_NE(openIdx(path).train->digest(), before);
}

TEST(Idx, RefusesHeadersThatLie) {
  Scratch scratch;
  auto open = [&](const std::string& content) { return openIdx(scratch.file("x", content)); };
  EXPECT_FAULT(open(""), Fault::Data, "x: the file is empty");
  EXPECT_FAULT(open("ab"), Fault::Data, "x: 2 bytes are no IDX file");
  EXPECT_FAULT(open("GIF89a"), Fault::Data, "x: begins with 47 49 46 38; an IDX file begins with 00 00");
  EXPECT_FAULT(open(bytes({0, 0, 0x0D, 3}) + std::string(20, 0)), Fault::Data, "holds 32-bit floats; only IDX files of bytes");
  EXPECT_FAULT(open(bytes({0, 0, 8, 0})), Fault::Data, "the header tells of 0 sizes");
  EXPECT_FAULT(open(bytes({0, 0, 8, 255, 0, 0})), Fault::Data, "the header tells of 255 sizes, the file has 6 bytes");
  EXPECT_FAULT(open(idx({3, 2, 3}, "12345")), Fault::Data, "the header tells of 3 x 2 x 3 bytes behind it, the file has 5");
  EXPECT_FAULT(open(idx({3, 2, 3}, std::string(19, 'x'))), Fault::Data, "the file has 19");
  EXPECT_FAULT(open(idx({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, "12345")), Fault::Data, "the header tells of 4294967295 x 4294967295 x 4294967295 bytes");
  EXPECT_FAULT(open(idx({0, 2, 3}, "")), Fault::Data, "holds no records: its sizes are 0 x 2 x 3");
  EXPECT_FAULT(open(idx({3, 0, 3}, "")), Fault::Data, "holds no records");
  EXPECT_FAULT(open(labels()), Fault::Data, "holds 3 numbers, no images");
}

TEST(Idx, RefusesPairsThatAreNone) {
  Scratch scratch;
  auto path = scratch.file("a-images-idx3-ubyte", images());
  EXPECT_FAULT(openIdx(path), Fault::Data, "its labels, a-labels-idx1-ubyte, do not stand beside it");
  scratch.file("a-labels-idx1-ubyte", idx({2}, "ab"));
  EXPECT_FAULT(openIdx(path), Fault::Data, "a-labels-idx1-ubyte: 2 labels for the 3 images of a-images-idx3-ubyte");
  scratch.file("a-labels-idx1-ubyte", idx({3, 1}, "abc"));
  EXPECT_FAULT(openIdx(path), Fault::Data, "its sizes are 3 x 1; labels have one");
}

TEST(Idx, TellsOfAFileThatChanges) {
  Scratch scratch;
  scratch.file("a-labels-idx1-ubyte", labels());
  auto path = scratch.file("a-images-idx3-ubyte", images());
  auto [train, validation] = openIdx(path);
  std::filesystem::resize_file(path, 20);
  EXPECT_THROW(recordOf(*train, 0), FileChanged);
}

} // namespace
} // namespace moec::data
