#include "runtime/core/Error.h"
#include "runtime/io/Image.h"
#include "runtime/io/ImageCodecs.h"

#include <fmt/format.h>
#include <png.h>

#include <string_view>
#include <vector>

namespace moec {

void checkPixels(int64_t width, int64_t height, const std::string& where) {
  if (width < 1 || height < 1 || width > kMaxPixels / height)
    throw Error(Fault::Data, fmt::format("{}: a picture of {} x {} pixels; expected 1 to {} pixels", where, width, height, kMaxPixels));
}

namespace {

uint32_t bigEndian(std::span<const uint8_t> bytes) { return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3]; }

/// A byte of deflated data stands for at most so many: matches of 258 bytes, each told in two bits.
constexpr int64_t kMostInflated = 1032;

/// libpng stops at the last pixel; a file cut behind it is damaged all the same. The picture's size stands in the first
/// chunk, and is no more than its data can tell of (a pixel has at least one bit): it is what memory is taken for.
void checkChunks(std::span<const uint8_t> bytes, const std::string& where) {
  auto fail = [&](const std::string& problem) { throw Error(Fault::Data, fmt::format("{}: damaged PNG: {}", where, problem)); };
  size_t place = 8;
  int64_t width = 0, height = 0, data = 0;
  for (bool first = true;; first = false) {
    if (bytes.size() - place < 12)
      fail(fmt::format("cut short after {} bytes", bytes.size()));
    uint32_t length = bigEndian(bytes.subspan(place));
    if (length > bytes.size() - place - 12)
      fail(fmt::format("cut short: a chunk at byte {} of {} bytes, but the file ends at {}", place, length, bytes.size()));
    std::string_view type(reinterpret_cast<const char*>(bytes.data()) + place + 4, 4);
    if (first) {
      if (type != "IHDR" || length != 13)
        fail("it does not begin with its size");
      width = bigEndian(bytes.subspan(place + 8));
      height = bigEndian(bytes.subspan(place + 12));
      checkPixels(width, height, where);
    }
    if (type == "IDAT")
      data += length;
    if (type == "IEND") {
      if (width * height / 8 > data * kMostInflated)
        fail(fmt::format("{} x {} pixels are more than its {} bytes of data can hold", width, height, data));
      return;
    }
    place += size_t{length} + 12;
  }
}

} // namespace

Tensor decodePng(std::span<const uint8_t> bytes, const std::string& where) {
  checkChunks(bytes, where);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  auto fail = [&] {
    std::string message = image.message;
    png_image_free(&image);
    throw Error(Fault::Data, fmt::format("{}: damaged PNG: {}", where, message));
  };
  if (!png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()))
    fail();
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB; // 16-bit pictures without a colour note are ordinary pictures, not linear light
  image.format = PNG_FORMAT_RGBA;
  int64_t height = image.height, width = image.width;
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(image));
  if (!png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr))
    fail();

  Tensor result(DType::U8, {height, width, 3});
  auto* out = static_cast<uint8_t*>(result.data());
  for (size_t i = 0; i < pixels.size(); i += 4) {
    unsigned alpha = pixels[i + 3];
    for (size_t c = 0; c < 3; ++c)
      *out++ = static_cast<uint8_t>((pixels[i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
  }
  return result;
}

} // namespace moec
