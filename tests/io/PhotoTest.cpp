#include "runtime/io/Photo.h"

#include "tests/io/Files.h"

using namespace moec;
using namespace moec::test;

namespace {

Tensor picture(std::vector<uint8_t> pixels, int64_t height, int64_t width) { return Tensor::of(std::move(pixels), {height, width, 3}); }

InputInfo input(std::vector<Size> shape, PhotoRule rule, DType type = DType::F64) {
  return {.name = "image", .dtype = type, .shape = std::move(shape), .photo = rule};
}

const PhotoRule kStretch{.resize = PhotoRule::Resize::Stretch, .mean = {}, .std = {}};

/// A grey picture of one row.
Tensor row(std::vector<uint8_t> greys) {
  std::vector<uint8_t> pixels;
  for (uint8_t grey : greys)
    pixels.insert(pixels.end(), 3, grey);
  int64_t width = static_cast<int64_t>(greys.size());
  return picture(pixels, 1, width);
}

TEST(Photo, ChannelsComeFirstAndAreNormalised) {
  PhotoRule rule{.resize = PhotoRule::Resize::None, .mean = {0.5, 0, 1}, .std = {0.5, 1, 2}};
  Tensor tensor = photoToInput(picture({255, 51, 0, 0, 102, 255}, 1, 2), input({Size::symbol("batch"), 3, 1, 2}, rule), "p.png");
  EXPECT_EQ(tensor.shape(), Shape({1, 3, 1, 2}));
  std::vector<double> expected{1, -1, 0.2, 0.4, -0.5, 0};
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_DOUBLE_EQ(tensor.toDoubles()[i], expected[i]);
}

TEST(Photo, StretchSamplesAtPixelCentres) {
  // One row of 0, 100 to four: centres fall at -0.25 (clamped), 0.25, 0.75, 1.25 (clamped).
  auto larger = photoToInput(row({0, 100}), input({1, 3, 1, 4}, kStretch), "p.png").toDoubles();
  std::vector<double> expected{0, 25, 75, 100};
  for (size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(larger[i] * 255, expected[i], 1e-12);
  // Four to two: centres at 0.5 and 2.5; four to one: at 1.5, and what stands further off does not count.
  auto smaller = photoToInput(row({0, 100, 200, 40}), input({1, 3, 1, 2}, kStretch), "p.png").toDoubles();
  EXPECT_NEAR(smaller[0] * 255, 50, 1e-12);
  EXPECT_NEAR(smaller[1] * 255, 120, 1e-12);
  auto one = photoToInput(row({0, 100, 200, 40}), input({1, 3, 1, 1}, kStretch), "p.png").toDoubles();
  EXPECT_NEAR(one[0] * 255, 150, 1e-12);
}

TEST(Photo, HeightAndWidthAreNotMixedUp) {
  // Two rows of one pixel: 10 above 20, to one row of two.
  auto values = photoToInput(picture({10, 10, 10, 20, 20, 20}, 2, 1), input({1, 3, 1, 2}, kStretch), "p.png").toDoubles();
  EXPECT_NEAR(values[0] * 255, 15, 1e-12);
  EXPECT_NEAR(values[1] * 255, 15, 1e-12);
}

TEST(Photo, ShapesAndTypesFollowTheInput) {
  EXPECT_EQ(photoToInput(row({1, 2}), input({3, 1, 2}, {}), "p.png").shape(), Shape({3, 1, 2}));
  EXPECT_EQ(photoToInput(row({1, 2}), input({Size::symbol("batch"), 3, Size::symbol("height"), Size::symbol("width")}, {}), "p.png").shape(),
            Shape({1, 3, 1, 2}));
  EXPECT_EQ(photoToInput(row({1, 2}), input({1, 3, 1, 2}, {}, DType::F32), "p.png").dtype(), DType::F32);
  // One channel: luma. Pure red is 0.299.
  auto luma = photoToInput(picture({255, 0, 0}, 1, 1), input({1, 1, 1, 1}, {}), "p.png").toDoubles();
  EXPECT_NEAR(luma[0], 0.299, 1e-12);
}

TEST(Photo, WhatDoesNotFitIsAnError) {
  EXPECT_FAULT(photoToInput(row({1, 2}), input({1, 3, 32, 32}, {}), "p.png"), Fault::Data,
               "p.png: the picture is 2 wide and 1 high, input \"image\" takes 32 by 32");
  EXPECT_FAULT(photoToInput(row({1}), input({1, 4, 1, 1}, {}), "p.png"), Fault::Model, "4 channels, expected 1 or 3");
  EXPECT_FAULT(photoToInput(row({1}), input({60}, {}), "p.png"), Fault::Model, "it has 1 sizes");
  EXPECT_FAULT(photoToInput(row({1}), input({2, 3, 1, 1}, {}), "p.png"), Fault::Model, "exactly 2 pictures at once");
  EXPECT_FAULT(photoToInput(row({1}), input({1, 3, 1, 1}, {}, DType::I64), "p.png"), Fault::Model, "i64 numbers");
  EXPECT_FAULT(photoToInput(row({1}), input({1, 3, 1, 1}, {.resize = PhotoRule::Resize::None, .mean = {0.5}, .std = {}}), "p.png"), Fault::Model,
               "1 numbers for 3 channels");
}

} // namespace
