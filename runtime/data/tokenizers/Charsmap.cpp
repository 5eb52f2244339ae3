#include "runtime/data/tokenizers/Charsmap.h"

#include <fmt/format.h>

#include <cstring>
#include <stdexcept>

namespace moec::data {
namespace {

// A unit of the array: bit 31 marks a value; else bits 0-7 are its byte, bit 8 says that a value stands at its offset, bit 9 scales the offset in bits 10-30 by
// 256.
constexpr uint32_t kValue = 0x80000000u;
uint32_t labelOf(uint32_t unit) { return unit & (kValue | 0xFF); }
bool hasValue(uint32_t unit) { return unit >> 8 & 1; }
uint32_t offsetOf(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

uint32_t word(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;)
    value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

} // namespace

Charsmap::Charsmap(std::string_view bytes) {
  auto fail = [](const std::string& what) { throw std::runtime_error("a damaged table of characters: " + what); };
  if (bytes.size() < 4)
    fail(fmt::format("{} bytes", bytes.size()));
  uint32_t size = word(bytes, 0);
  if (size % 4 != 0 || size == 0 || size > bytes.size() - 4)
    fail(fmt::format("its array has {} bytes, but {} follow", size, bytes.size() - 4));
  for (size_t at = 4; at < 4 + size; at += 4)
    units_.push_back(word(bytes, at));
  texts_ = bytes.substr(4 + size);
  if (texts_.empty() || texts_.back() != '\0')
    fail("its last text has no end");
  // Whatever is looked up, no step leaves the array: all that can follow a unit lies in the block of 256 that its offset names.
  for (size_t i = 0; i < units_.size(); ++i) {
    uint32_t unit = units_[i];
    if ((unit & kValue) && i > 0)
      continue;
    size_t next = i ^ offsetOf(unit);
    if ((next | 0xFF) >= units_.size())
      fail(fmt::format("unit {} leads to {} of {} units", i, next | 0xFF, units_.size()));
    if (hasValue(unit) && (units_[next] & ~kValue) >= texts_.size())
      fail(fmt::format("unit {} names byte {} of {} bytes of text", i, units_[next] & ~kValue, texts_.size()));
  }
}

std::optional<std::string_view> Charsmap::replacement(std::string_view text) const {
  size_t node = offsetOf(units_[0]);
  for (char c : text) {
    auto byte = static_cast<uint8_t>(c);
    if (byte == 0)
      return {};
    node ^= byte;
    uint32_t unit = units_[node];
    if (labelOf(unit) != byte)
      return {};
    node ^= offsetOf(unit);
    if (hasValue(unit))
      return std::string_view(texts_.data() + (units_[node] & ~kValue));
  }
  return {};
}

} // namespace moec::data
