#include "runtime/data/Shipped.h"
#include "tests/io/Files.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace moec::data {
namespace {

struct Digit {
  std::vector<float> image = std::vector<float>(3 * 32 * 32);
  int64_t label = -1;
};

Digit digit(const Dataset& dataset, int64_t record) {
  Digit result;
  std::byte* fields[] = {reinterpret_cast<std::byte*>(result.image.data()), reinterpret_cast<std::byte*>(&result.label)};
  dataset.read(record, fields);
  return result;
}

TEST(Digits, Fields) {
  auto dataset = digits();
  EXPECT_EQ(dataset->size(), 1797);
  ASSERT_EQ(dataset->fields().size(), 2u);
  const Field &image = dataset->fields()[0], &label = dataset->fields()[1];
  EXPECT_EQ(image.name, "image");
  EXPECT_EQ(image.dtype, DType::F32);
  EXPECT_EQ(image.shape, (Shape{3, 32, 32}));
  EXPECT_EQ(label.name, "label");
  EXPECT_EQ(label.dtype, DType::I64);
  EXPECT_EQ(label.shape, Shape{});
  EXPECT_EQ(label.below, 10);
  EXPECT_EQ(label.words.size(), 10u);
  EXPECT_FAULT(digit(*dataset, 1797), Fault::Usage, "no record 1797");
}

// What the repository's description says of the test part: how many there are of each class.
TEST(Digits, Classes) {
  auto dataset = digits();
  std::array<int64_t, 10> counts{};
  for (int64_t i = 0; i < dataset->size(); ++i)
    ++counts.at(static_cast<size_t>(digit(*dataset, i).label));
  EXPECT_EQ(counts, (std::array<int64_t, 10>{178, 182, 177, 183, 181, 182, 181, 179, 174, 180}));
}

// The first and the last record of load_digits of scikit-learn 1.9.1.
TEST(Digits, Points) {
  auto dataset = digits();
  auto points = [&](int64_t record, const std::array<std::array<int, 8>, 8>& expected, int64_t label) {
    Digit found = digit(*dataset, record);
    EXPECT_EQ(found.label, label);
    // The center of point p lies between the pixels 4p + 1 and 4p + 2.
    auto at = [&](double y, double x) {
      double row = std::clamp((y + 0.5) / 4 - 0.5, 0.0, 7.0), column = std::clamp((x + 0.5) / 4 - 0.5, 0.0, 7.0), sum = 0;
      for (size_t i = 0; i < 8; ++i)
        for (size_t j = 0; j < 8; ++j)
          sum += expected[i][j] * std::max(0.0, 1 - std::abs(row - static_cast<double>(i))) * std::max(0.0, 1 - std::abs(column - static_cast<double>(j)));
      return static_cast<float>(sum / 16);
    };
    for (size_t c = 0; c < 3; ++c)
      for (size_t y = 0; y < 32; ++y)
        for (size_t x = 0; x < 32; ++x)
          ASSERT_EQ(found.image[(c * 32 + y) * 32 + x], at(static_cast<double>(y), static_cast<double>(x))) << c << " " << y << " " << x;
  };
  points(0,
         {{{0, 0, 5, 13, 9, 1, 0, 0},
           {0, 0, 13, 15, 10, 15, 5, 0},
           {0, 3, 15, 2, 0, 11, 8, 0},
           {0, 4, 12, 0, 0, 8, 8, 0},
           {0, 5, 8, 0, 0, 9, 8, 0},
           {0, 4, 11, 0, 1, 12, 7, 0},
           {0, 2, 14, 5, 10, 12, 0, 0},
           {0, 0, 6, 13, 10, 0, 0, 0}}},
         0);
  points(1796,
         {{{0, 0, 10, 14, 8, 1, 0, 0},
           {0, 2, 16, 14, 6, 1, 0, 0},
           {0, 0, 15, 15, 8, 15, 0, 0},
           {0, 0, 5, 16, 16, 10, 0, 0},
           {0, 0, 12, 15, 15, 12, 0, 0},
           {0, 4, 16, 6, 4, 16, 6, 0},
           {0, 8, 16, 10, 8, 16, 8, 0},
           {0, 1, 8, 12, 14, 12, 1, 0}}},
         8);
}

// No patch of 4 by 4 pixels is flat where the points around it differ: what a norm over a patch leaves tells them apart.
TEST(Digits, PatchesAreNotFlat) {
  Digit found = digit(*digits(), 0);
  EXPECT_EQ(found.image[12], 10 / 16.0f) << "of row 0, whose points 2 and 3 are 5 and 13: five eighths of the way";
  EXPECT_EQ(found.image[13], 12 / 16.0f);
}

// The sum over all points that load_digits gives, 561718; each stands 48 times, divided by 16.
TEST(Digits, Sum) {
  auto dataset = digits();
  double sum = 0;
  for (int64_t i = 0; i < dataset->size(); ++i)
    for (float value : digit(*dataset, i).image)
      sum += value;
  EXPECT_EQ(sum, 561718.0 * 48 / 16);
}

TEST(Shakespeare, IsTheBeginningInWholeLines) {
  std::string_view text = shakespeare();
  EXPECT_EQ(text.size(), 262124u);
  EXPECT_TRUE(text.starts_with("First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n"));
  EXPECT_TRUE(text.ends_with("\nO Dorset, speak not to me, get thee hence!\n"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 9770); // wc -l
  EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
}

} // namespace
} // namespace moec::data
