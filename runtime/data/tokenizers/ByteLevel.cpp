#include "runtime/data/tokenizers/ByteLevel.h"

#include "runtime/core/Utf8.h"

#include <array>
#include <cstdint>

namespace moec::data {
namespace {

struct Alphabet {
  std::array<std::string, 256> characters;
  std::array<int, 0x144> bytes; // by the number of the character; -1: none

  Alphabet() {
    bytes.fill(-1);
    char32_t spare = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      char32_t code = printable ? static_cast<char32_t>(byte) : spare++;
      appendUtf8(characters[static_cast<size_t>(byte)], code);
      bytes[code] = byte;
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet made;
  return made;
}

} // namespace

std::string toByteLevel(std::string_view bytes) {
  std::string result;
  result.reserve(bytes.size() * 2);
  for (char byte : bytes)
    result += alphabet().characters[static_cast<uint8_t>(byte)];
  return result;
}

std::optional<std::string> fromByteLevel(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    Utf8Character character = firstCharacter(text);
    if (!character.valid || character.code >= alphabet().bytes.size() || alphabet().bytes[character.code] < 0)
      return {};
    result += static_cast<char>(alphabet().bytes[character.code]);
    text.remove_prefix(character.bytes);
  }
  return result;
}

} // namespace moec::data
