#include "runtime/core/Printable.h"

#include "runtime/core/Utf8.h"

#include <fmt/format.h>

namespace moec {
namespace {

/// The first character; where there is none, one byte.
Utf8Character firstOf(std::string_view text) {
  Utf8Character character = firstCharacter(text);
  if (!character.valid)
    character.bytes = 1;
  return character;
}

bool isControl(char32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

/// Marks that reorder or hide what stands around them.
bool turnsDirection(char32_t code) { return code == 0x200E || code == 0x200F || (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069); }

void append(std::string& result, std::string_view text, const Utf8Character& character) {
  if (!character.valid)
    result += fmt::format("\\x{:02x}", static_cast<unsigned>(character.code));
  else if (isControl(character.code) || turnsDirection(character.code))
    result += fmt::format("\\u{:04x}", static_cast<unsigned>(character.code));
  else
    result += text.substr(0, character.bytes);
}

} // namespace

size_t appendPrintable(std::string& result, std::string_view text) {
  Utf8Character character = firstOf(text);
  append(result, text, character);
  return character.bytes;
}

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    Utf8Character character = firstOf(text);
    if (character.code == '\n')
      result += '\n';
    else
      append(result, text, character);
    text.remove_prefix(character.bytes);
  }
  return result;
}

bool hasControls(std::string_view text) {
  while (!text.empty()) {
    Utf8Character character = firstOf(text);
    if (!character.valid || isControl(character.code))
      return true;
    text.remove_prefix(character.bytes);
  }
  return false;
}

} // namespace moec
