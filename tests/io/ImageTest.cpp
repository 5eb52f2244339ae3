#include "runtime/io/Image.h"

#include "tests/io/Files.h"
#include "tests/io/Pictures.h"

using namespace moec;
using namespace moec::test;

namespace {

std::vector<double> decoded(const std::string& file) { return decodeImage(bytesOf(file), "photo").toDoubles(); }

TEST(Image, ReadsPngPixels) {
  // Two by two: red, green / blue, grey 128.
  std::string file = png({255, 0, 0, 0, 255, 0, 0, 0, 255, 128, 128, 128}, 2, 2, 3);
  Tensor picture = decodeImage(bytesOf(file), "photo");
  EXPECT_EQ(picture.dtype(), DType::U8);
  EXPECT_EQ(picture.shape(), Shape({2, 2, 3}));
  EXPECT_THAT(picture.toDoubles(), testing::ElementsAre(255, 0, 0, 0, 255, 0, 0, 0, 255, 128, 128, 128));
}

TEST(Image, GreyBecomesThreeEqualChannels) { EXPECT_THAT(decoded(png({7, 200}, 2, 1, 1)), testing::ElementsAre(7, 7, 7, 200, 200, 200)); }

TEST(Image, TransparencyIsLaidOverWhite) {
  // alpha 0 -> white; alpha 255 -> itself; alpha 51 (a fifth) of 100 -> 0.2 * 100 + 0.8 * 255 = 224.
  EXPECT_THAT(decoded(png({1, 2, 3, 0, 1, 2, 3, 255, 100, 100, 100, 51}, 3, 1, 4)), testing::ElementsAre(255, 255, 255, 1, 2, 3, 224, 224, 224));
}

TEST(Image, AnOddColourProfileIsNoDamage) {
  // This picture's profile names a rendering intent that libpng does not know; expected pixels by Pillow 13.0.0.
  Tensor picture = readImage(MOEC_SOURCE "/examples/photo.png");
  ASSERT_EQ(picture.shape(), Shape({213, 320, 3}));
  auto pixel = [&](size_t x, size_t y) {
    auto start = picture.as<uint8_t>().begin() + static_cast<std::ptrdiff_t>((y * 320 + x) * 3);
    return std::vector<int>(start, start + 3);
  };
  EXPECT_THAT(pixel(0, 0), testing::ElementsAre(173, 200, 230));
  EXPECT_THAT(pixel(100, 50), testing::ElementsAre(166, 101, 68));
  EXPECT_THAT(pixel(319, 212), testing::ElementsAre(15, 23, 8));
}

TEST(Image, ReadsJpegPixels) {
  // A flat picture survives JPEG's quantisation to within a step or two.
  std::vector<uint8_t> flat(16 * 8 * 3);
  for (size_t i = 0; i < flat.size(); i += 3)
    flat[i] = 200, flat[i + 1] = 100, flat[i + 2] = 50;
  Tensor picture = decodeImage(bytesOf(jpeg(flat, 16, 8)), "photo");
  ASSERT_EQ(picture.shape(), Shape({8, 16, 3}));
  for (size_t i = 0; i < flat.size(); ++i)
    EXPECT_NEAR(picture.toDoubles()[i], flat[i], 2);
}

TEST(Image, EveryTruncationIsAnError) {
  std::vector<uint8_t> pixels(8 * 8 * 3);
  for (size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<uint8_t>(i * 37);
  std::string file = png(pixels, 8, 8, 3);
  for (size_t size = 0; size < file.size(); ++size)
    EXPECT_FAULT(decoded(file.substr(0, size)), Fault::Data, "photo: ");
  file = jpeg(pixels, 8, 8);
  for (size_t size = 0; size + 2 < file.size(); ++size) // without its two last bytes, the end marker, all pixels are there
    EXPECT_FAULT(decoded(file.substr(0, size)), Fault::Data, "photo: ");
}

TEST(Image, EveryFlippedByteIsReadOrRefused) {
  std::vector<uint8_t> pixels(8 * 8 * 3, 90);
  for (std::string file : {png(pixels, 8, 8, 3), jpeg(pixels, 8, 8)})
    for (size_t i = 0; i < file.size(); ++i) {
      std::string damaged = file;
      damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
      try {
        decoded(damaged);
      } catch (const Error& error) {
        EXPECT_EQ(error.fault(), Fault::Data) << error.what();
      }
    }
}

TEST(Image, AHugePictureIsRefusedBeforeDecoding) {
  std::string file = png({0, 0, 0}, 1, 1, 3);
  file.replace(16, 8, std::string("\x7f\xff\xff\xff\x7f\xff\xff\xff", 8)); // the size in IHDR; its checksum is no longer right either
  EXPECT_FAULT(decoded(file), Fault::Data, "2147483647 x 2147483647 pixels; expected 1 to 16777216");
  file.replace(16, 8, std::string("\0\0\x10\0\0\0\x10\0", 8)); // 64 MiB of pixels out of a dozen bytes
  EXPECT_FAULT(decoded(file), Fault::Data, "4096 x 4096 pixels are more than its 12 bytes of data can hold");
  std::string other = jpeg(std::vector<uint8_t>(3), 1, 1);
  size_t frame = other.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  other.replace(frame + 5, 4, std::string("\x80\0\x80\0", 4));
  EXPECT_FAULT(decoded(other), Fault::Data, "32768 x 32768 pixels");
}

TEST(Image, WhatIsNoPictureSaysWhatItLooksLike) {
  EXPECT_FAULT(decoded("GIF89a"), Fault::Data, "photo: not a picture: expected PNG or JPEG, found a GIF picture");
  EXPECT_FAULT(decoded(""), Fault::Data, "an empty file");
  EXPECT_FAULT(decoded("hello"), Fault::Data, "68 65 6c 6c 6f (\"hello\")");
  EXPECT_FAULT(readImage("/nowhere.png"), Fault::Data, "/nowhere.png: cannot read");
}

} // namespace
