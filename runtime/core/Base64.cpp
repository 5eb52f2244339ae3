#include "runtime/core/Base64.h"

namespace moec {
namespace {

constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int valueOf(char c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

} // namespace

std::string encodeBase64(std::span<const uint8_t> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t count = std::min<size_t>(bytes.size() - i, 3);
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j)
      word = word << 8 | (j < count ? bytes[i + j] : 0);
    for (size_t j = 0; j < 4; ++j)
      text += j <= count ? kDigits[word >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::optional<std::vector<uint8_t>> decodeBase64(std::string_view text) {
  if (text.size() % 4 != 0)
    return std::nullopt;
  std::vector<uint8_t> bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    size_t padding = 0;
    uint32_t word = 0;
    for (size_t j = 0; j < 4; ++j) {
      char c = text[i + j];
      if (c == '=' && i + 4 == text.size() && j >= 2)
        ++padding;
      else if (padding > 0 || valueOf(c) < 0)
        return std::nullopt;
      word = word << 6 | static_cast<uint32_t>(c == '=' ? 0 : valueOf(c));
    }
    if (word & ((1u << (8 * padding)) - 1)) // bits behind the last byte
      return std::nullopt;
    for (size_t j = 0; j < 3 - padding; ++j)
      bytes.push_back(static_cast<uint8_t>(word >> (16 - 8 * j)));
  }
  return bytes;
}

} // namespace moec
