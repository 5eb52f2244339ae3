#include "runtime/data/Shipped.h"

#include "runtime/core/Digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

// The files stand in the library as they are. MOEC_SHIPPED_FOLDER: runtime/data/shipped.
asm(".section .rodata\n"
    ".balign 16\n"
    "moecShippedDigits: .incbin \"" MOEC_SHIPPED_FOLDER "/digits.bin\"\n"
    "moecShippedDigitsEnd:\n"
    "moecShippedShakespeare: .incbin \"" MOEC_SHIPPED_FOLDER "/shakespeare.txt\"\n"
    "moecShippedShakespeareEnd:\n"
    ".byte 0\n"
    ".globl moecShippedDigits, moecShippedDigitsEnd, moecShippedShakespeare, moecShippedShakespeareEnd\n"
    ".hidden moecShippedDigits, moecShippedDigitsEnd, moecShippedShakespeare, moecShippedShakespeareEnd\n"
    ".previous\n");

extern "C" const unsigned char moecShippedDigits[], moecShippedDigitsEnd[];
extern "C" const char moecShippedShakespeare[], moecShippedShakespeareEnd[];

namespace moec::data {

namespace {

constexpr int64_t kPoints = 8, kEnlarged = 4, kSide = kPoints * kEnlarged, kRecordBytes = kPoints * kPoints + 1;

/// Where an enlarged point lies between two of the grid: the first, and how far it is to the next, in eighths. Outside of the outer centers the picture stays
/// as it is.
struct Between {
  int64_t first, second, eighths;
};
Between between(int64_t at) {
  int64_t eighths = std::clamp<int64_t>(8 * at / kEnlarged + 8 / (2 * kEnlarged) - 4, 0, 8 * (kPoints - 1));
  return {eighths / 8, std::min(eighths / 8 + 1, kPoints - 1), eighths % 8};
}

class Digits : public Dataset {
public:
  const std::vector<Field>& fields() const override { return fields_; }
  int64_t size() const override { return (moecShippedDigitsEnd - moecShippedDigits) / kRecordBytes; }

  void read(int64_t record, std::span<std::byte* const> fields) const override {
    if (record < 0 || record >= size())
      throw Error(Fault::Usage, fmt::format("digits: there is no record {}", record));
    const unsigned char* points = moecShippedDigits + record * kRecordBytes;
    std::array<float, kSide * kSide> plane;
    for (int64_t y = 0; y < kSide; ++y)
      for (int64_t x = 0; x < kSide; ++x) {
        Between down = between(y), right = between(x);
        auto row = [&](int64_t of) { return points[of * kPoints + right.first] * (8 - right.eighths) + points[of * kPoints + right.second] * right.eighths; };
        plane[static_cast<size_t>(y * kSide + x)] =
            static_cast<float>(row(down.first) * (8 - down.eighths) + row(down.second) * down.eighths) / (64 * 16); // exact
      }
    for (size_t channel = 0; channel < 3; ++channel)
      std::memcpy(fields[0] + channel * sizeof plane, plane.data(), sizeof plane);
    int64_t label = points[kPoints * kPoints];
    std::memcpy(fields[1], &label, sizeof label);
  }

  std::string digest() const override { return digestOf({moecShippedDigits, static_cast<size_t>(moecShippedDigitsEnd - moecShippedDigits)}).hex(); }
  std::string describe() const override { return fmt::format("digits: {} images of 10 classes", size()); }
  std::string placeOf(int64_t record) const override { return fmt::format("digits: record {}", record); }

private:
  std::vector<Field> fields_ = {{"image", DType::F32, {3, kSide, kSide}, {}, {}, false, true},
                                {"label", DType::I64, {}, 10, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}}};
};

} // namespace

DatasetPtr digits() { return std::make_shared<Digits>(); }

std::string_view shakespeare() { return {moecShippedShakespeare, static_cast<size_t>(moecShippedShakespeareEnd - moecShippedShakespeare)}; }

} // namespace moec::data
