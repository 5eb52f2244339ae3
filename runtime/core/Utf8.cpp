#include "runtime/core/Utf8.h"

#include <algorithm>

namespace moec {
namespace {

/// How many bytes a character has that begins like this; 0 for a byte that begins none.
size_t bytesAfter(unsigned char lead) {
  if (lead < 0x80)
    return 1;
  if (lead < 0xC2 || lead > 0xF4)
    return 0;
  return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/// May `next` stand behind `lead`? Excludes overlong forms, surrogates and what lies past U+10FFFF (the Unicode Standard, table 3-7).
bool maySecond(unsigned char lead, unsigned char next) {
  unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  return next >= low && next <= high;
}

} // namespace

Utf8Character firstCharacter(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  size_t bytes = bytesAfter(byte(0));
  if (bytes == 1)
    return {byte(0), 1, true};
  if (bytes == 0)
    return {byte(0), 1, false};
  char32_t code = byte(0) & (0x7F >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if (i == text.size() || (i == 1 ? !maySecond(byte(0), byte(1)) : (byte(i) & 0xC0) != 0x80))
      return {byte(0), i, false};
    code = code << 6 | (byte(i) & 0x3F);
  }
  return {code, bytes, true};
}

void appendUtf8(std::string& text, char32_t code) {
  auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80)
    return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

size_t firstInvalidByte(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    Utf8Character character = firstCharacter(text.substr(at));
    if (!character.valid)
      return at;
    at += character.bytes;
  }
  return std::string_view::npos;
}

size_t incompleteTail(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    size_t at = text.size() - back;
    auto lead = static_cast<unsigned char>(text[at]);
    if ((lead & 0xC0) == 0x80)
      continue;
    Utf8Character character = firstCharacter(text.substr(at));
    return !character.valid && character.bytes == back && bytesAfter(lead) > back ? at : text.size();
  }
  return text.size();
}

std::string withReplacements(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    Utf8Character character = firstCharacter(text);
    result += character.valid ? text.substr(0, character.bytes) : std::string_view("\xEF\xBF\xBD");
    text.remove_prefix(character.bytes);
  }
  return result;
}

} // namespace moec
