#include "runtime/data/tokenizers/Unicode.h"

#include "runtime/core/Error.h"
#include "runtime/core/Utf8.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace moec::data {
namespace {

utf8proc_category_t category(char32_t code) { return utf8proc_category(static_cast<utf8proc_int32_t>(code)); }

bool between(char32_t code, char32_t first, char32_t last) { return code >= first && code <= last; }

bool isAscii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

} // namespace

bool isSpace(char32_t code) {
  return between(code, 0x09, 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 || between(code, 0x2000, 0x200A) || code == 0x2028 ||
         code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool isPunctuation(char32_t code) {
  if (code < 0x80)
    return between(code, '!', '/') || between(code, ':', '@') || between(code, '[', '`') || between(code, '{', '~');
  auto kind = category(code);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool isNumeric(char32_t code) {
  auto kind = category(code);
  return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

bool isWord(char32_t code) {
  auto kind = category(code);
  return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_NL) || kind == UTF8PROC_CATEGORY_PC || code == 0x200C ||
         code == 0x200D || // L, M, Nd, Nl; joiners
         between(code, 0x24B6, 0x24E9) || between(code, 0x1F130, 0x1F149) || between(code, 0x1F150, 0x1F169) ||
         between(code, 0x1F170, 0x1F189); // letters in circles and squares
}

bool isMark(char32_t code) {
  auto kind = category(code);
  return kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME;
}

bool isNonspacingMark(char32_t code) { return category(code) == UTF8PROC_CATEGORY_MN; }

bool isControl(char32_t code) {
  auto kind = category(code);
  return kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF || kind == UTF8PROC_CATEGORY_CO;
}

bool isCjkIdeograph(char32_t code) {
  return between(code, 0x4E00, 0x9FFF) || between(code, 0x3400, 0x4DBF) || between(code, 0x20000, 0x2A6DF) || between(code, 0x2A700, 0x2B73F) ||
         between(code, 0x2B740, 0x2B81F) || between(code, 0x2B920, 0x2CEAF) || between(code, 0xF900, 0xFAFF) || between(code, 0x2F800, 0x2FA1F);
}

void appendLower(std::string& text, char32_t code) {
  if (code == 0x130) // the one that becomes two: i and a dot above
    text += "i\xCC\x87";
  else
    appendUtf8(text, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))));
}

std::string normalForm(std::string_view text, NormalForm form) {
  if (isAscii(text))
    return std::string(text);
  int options = UTF8PROC_STABLE;
  options |= form == NormalForm::C || form == NormalForm::KC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::KC || form == NormalForm::KD)
    options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* result = nullptr;
  auto bytes = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()), &result,
                            static_cast<utf8proc_option_t>(options));
  if (bytes < 0)
    throw Error(Fault::System, fmt::format("normal form of {} bytes of text: {}", text.size(), utf8proc_errmsg(bytes)));
  std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(result, std::free);
  return {reinterpret_cast<const char*>(result), static_cast<size_t>(bytes)};
}

size_t firstGrapheme(std::string_view text) {
  Utf8Character before = firstCharacter(text);
  size_t end = before.bytes;
  utf8proc_int32_t state = 0;
  while (end < text.size()) {
    Utf8Character next = firstCharacter(text.substr(end));
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(before.code), static_cast<utf8proc_int32_t>(next.code), &state))
      break;
    before = next;
    end += next.bytes;
  }
  return end;
}

} // namespace moec::data
