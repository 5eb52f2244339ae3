#include "runtime/core/Printable.h"

#include <fmt/format.h>

namespace moec {
namespace {

struct Character {
  char32_t code = 0;
  size_t bytes = 1;
  bool valid = false;
};

/// The first character of a text that is not empty; one byte that is not valid where it is no UTF-8.
Character firstOf(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80)
    return {byte(0), 1, true};
  size_t bytes = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (byte(0) < 0xC2 || byte(0) > 0xF4 || text.size() < bytes)
    return {byte(0), 1, false};
  char32_t code = byte(0) & (0x7F >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80)
      return {byte(0), 1, false};
    code = code << 6 | (byte(i) & 0x3F);
  }
  if (code < least[bytes] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
    return {byte(0), 1, false};
  return {code, bytes, true};
}

bool isControl(char32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

/// Marks that reorder or hide what stands around them.
bool turnsDirection(char32_t code) {
  return code == 0x200E || code == 0x200F || (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

void append(std::string& result, std::string_view text, const Character& character) {
  if (!character.valid)
    result += fmt::format("\\x{:02x}", static_cast<unsigned>(character.code));
  else if (isControl(character.code) || turnsDirection(character.code))
    result += fmt::format("\\u{:04x}", static_cast<unsigned>(character.code));
  else
    result += text.substr(0, character.bytes);
}

} // namespace

size_t appendPrintable(std::string& result, std::string_view text) {
  Character character = firstOf(text);
  append(result, text, character);
  return character.bytes;
}

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    Character character = firstOf(text);
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
    Character character = firstOf(text);
    if (!character.valid || isControl(character.code))
      return true;
    text.remove_prefix(character.bytes);
  }
  return false;
}

} // namespace moec
