#pragma once
// UTF-8: characters of a text, and what is none.

#include <cstddef>
#include <string>
#include <string_view>

namespace moec {

/// A character of a text; where the text has none, `valid` is false and `bytes` is the longest beginning of a character that stands there, at least 1: what one
/// U+FFFD takes the place of.
struct Utf8Character {
  char32_t code = 0;
  size_t bytes = 0;
  bool valid = false;
};

/// The first character of a text that is not empty.
Utf8Character firstCharacter(std::string_view text);

void appendUtf8(std::string& text, char32_t code);

/// The first byte that belongs to no character, or npos.
size_t firstInvalidByte(std::string_view text);

/// Where the last character begins, when its end is missing and more bytes may bring it; else the text's size.
size_t incompleteTail(std::string_view text);

/// With U+FFFD in the place of what is no character.
std::string withReplacements(std::string_view text);

} // namespace moec
