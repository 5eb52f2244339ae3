#include "runtime/data/PictureNumbers.h"
#include "runtime/io/Photo.h"
#include "tests/io/Files.h"

#include <cstring>
#include <optional>

namespace moec::data {
namespace {

InputInfo inputOf(std::vector<Size> shape, std::optional<PhotoRule> photo, DType dtype = DType::F32) {
  InputInfo info;
  info.name = "image";
  info.dtype = dtype;
  info.shape = std::move(shape);
  info.photo = std::move(photo);
  return info;
}

const PhotoRule kRule{PhotoRule::Resize::Stretch, {0.48, 0.45, 0.41}, {0.22, 0.23, 0.24}};

Tensor converted(const PictureNumbers& picture, const std::vector<uint8_t>& points, DType dtype) {
  Tensor out(dtype, picture.shape());
  picture.convert(reinterpret_cast<const std::byte*>(points.data()), static_cast<std::byte*>(out.data()), "test");
  return out;
}

/// Points that take every value, channel by channel.
std::vector<uint8_t> somePoints(size_t count) {
  std::vector<uint8_t> points(count);
  for (size_t i = 0; i < count; ++i)
    points[i] = static_cast<uint8_t>(i * 37 + i / 256);
  return points;
}

/// As photoToInput() has it of the picture with its channels behind.
void expectAsPhoto(const Shape& field, const InputInfo& input) {
  bool grey = field.size() == 2;
  int64_t height = grey ? field[0] : field[1], width = grey ? field[1] : field[2];
  std::vector<uint8_t> points = somePoints(static_cast<size_t>(height * width * (grey ? 1 : 3)));
  Tensor picture(DType::U8, {height, width, 3});
  for (size_t c = 0; c < 3; ++c)
    for (size_t i = 0; i < static_cast<size_t>(height * width); ++i)
      picture.as<uint8_t>()[3 * i + c] = points[grey ? i : c * static_cast<size_t>(height * width) + i];
  Tensor expected = photoToInput(picture, input, "test");
  Tensor found = converted(PictureNumbers({"image", DType::U8, field, {}, {}, false, true}, input, "test"), points, input.dtype);
  EXPECT_EQ(found.shape(), expected.shape());
  ASSERT_EQ(found.bytes(), expected.bytes());
  EXPECT_EQ(std::memcmp(found.data(), expected.data(), found.bytes()), 0);
}

TEST(PictureNumbers, AreThePhotoRules) {
  for (DType dtype : {DType::F32, DType::F64, DType::BF16}) {
    expectAsPhoto({3, 16, 20}, inputOf({3, 16, 20}, kRule, dtype)); // as large
    expectAsPhoto({3, 16, 20}, inputOf({3, 16, 20}, std::nullopt, dtype));
    expectAsPhoto({3, 16, 20}, inputOf({3, 32, 32}, kRule, dtype)); // stretched
    expectAsPhoto({3, 16, 20}, inputOf({3, 7, 9}, kRule, dtype));
    expectAsPhoto({28, 28}, inputOf({3, 32, 32}, kRule, dtype)); // grey
    expectAsPhoto({28, 28}, inputOf({3, 28, 28}, kRule, dtype));
    expectAsPhoto({28, 28}, inputOf({1, 28, 28}, PhotoRule{PhotoRule::Resize::None, {0.1307}, {0.3081}}, dtype));
    expectAsPhoto({3, 8, 8}, inputOf({1, 8, 8}, std::nullopt, dtype)); // made grey
  }
}

TEST(PictureNumbers, ChannelsBehind) {
  std::vector<uint8_t> points = somePoints(4 * 5 * 3), apart(points.size());
  for (size_t c = 0; c < 3; ++c)
    for (size_t i = 0; i < 20; ++i)
      apart[c * 20 + i] = points[3 * i + c];
  for (const Shape& to : {Shape{3, 4, 5}, Shape{3, 9, 9}}) {
    InputInfo input = inputOf({to[0], to[1], to[2]}, kRule);
    Tensor behind = converted(PictureNumbers({"image", DType::U8, {4, 5, 3}, {}, {}}, input, "test"), points, DType::F32);
    Tensor before = converted(PictureNumbers({"image", DType::U8, {3, 4, 5}, {}, {}}, input, "test"), apart, DType::F32);
    EXPECT_EQ(behind.toDoubles(), before.toDoubles());
  }
}

TEST(PictureNumbers, FillInputsThatAreNoPictures) {
  std::vector<uint8_t> points = {0, 51, 102, 153, 204, 255};
  std::vector<double> expected;
  for (uint8_t point : points)
    expected.push_back(static_cast<float>(point / 255.0));
  for (const std::vector<Size>& shape : {std::vector<Size>{6}, {2, 3}}) {
    PictureNumbers picture({"image", DType::U8, {2, 3}, {}, {}}, inputOf(shape, std::nullopt), "test");
    EXPECT_EQ(converted(picture, points, DType::F32).toDoubles(), expected);
    EXPECT_EQ(picture.shape().size(), shape.size());
  }
}

TEST(PictureNumbers, OpenSizesAreTheFields) {
  PictureNumbers picture({"image", DType::U8, {2, 3}, {}, {}}, inputOf({1, Size::symbol("h"), Size::symbol("w")}, std::nullopt), "test");
  EXPECT_EQ(picture.shape(), (Shape{1, 2, 3}));
}

TEST(PictureNumbers, FloatsTakeMeanAndDeviation) {
  std::vector<float> points = {0, 0.5, 1, 0.0625};
  PictureNumbers picture({"image", DType::F32, {1, 2, 2}, {}, {}, false, true},
                         inputOf({3, 2, 2}, PhotoRule{PhotoRule::Resize::Stretch, {0.5, 0.25, 0}, {0.5, 1, 2}}), "test");
  Tensor out(DType::F32, {3, 2, 2});
  picture.convert(reinterpret_cast<const std::byte*>(points.data()), static_cast<std::byte*>(out.data()), "test");
  EXPECT_EQ(out.toDoubles(), (std::vector<double>{-1, 0, 1, -0.875, -0.25, 0.25, 0.75, -0.1875, 0, 0.25, 0.5, 0.03125}));
  EXPECT_FAULT(PictureNumbers({"image", DType::F32, {1, 2, 2}, {}, {}}, inputOf({1, 4, 4}, PhotoRule{PhotoRule::Resize::Stretch, {}, {}}), "test"), Fault::Data,
               "floats are neither resized");
}

TEST(PictureNumbers, RefusesWhatDoesNotFit) {
  auto make = [](const Shape& field, const std::vector<Size>& input) {
    return PictureNumbers({"image", DType::U8, field, {}, {}}, inputOf(input, std::nullopt), "digits.idx");
  };
  EXPECT_FAULT(make({28, 28}, {3, 32, 32}), Fault::Data,
               "digits.idx: a picture u8[28, 28] does not fit input \"image\": it is 32 high and 32 wide; give the model's input a \"photo\"");
  EXPECT_FAULT(make({28, 28}, {2, 28, 28}), Fault::Data, "it has 2 channels, expected 1 or 3");
  EXPECT_FAULT(make({28}, {28}), Fault::Data, "a picture has a height and a width");
  EXPECT_FAULT(make({2, 28, 28}, {2, 28, 28}), Fault::Data, "1 or 3 channels");
  EXPECT_FAULT(make({28, 28}, {783}), Fault::Data, "it takes 783 numbers, expected channels, height and width, or 784 numbers");
  EXPECT_FAULT(make({28, 28}, {Size::symbol("n")}), Fault::Data, "a size of it, n, is open");
}

} // namespace
} // namespace moec::data
