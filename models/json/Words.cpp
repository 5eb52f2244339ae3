#include "models/json/Words.h"

#include "runtime/core/NearestName.h"
#include "runtime/core/Printable.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec::models {

std::string inQuotes(std::string_view text) {
  constexpr size_t kLongest = 80;
  std::string result = "\"";
  for (size_t length = 0; !text.empty(); ++length) {
    if (length == kLongest)
      return result + "...\"";
    if (text[0] == '"' || text[0] == '\\')
      result += '\\';
    text.remove_prefix(appendPrintable(result, text));
  }
  return result + "\"";
}

std::string joined(std::span<const std::string> words) { return fmt::format("{}", fmt::join(words.begin(), words.end(), ", ")); }

std::string suggestion(std::string_view word, const std::vector<std::string>& known) {
  if (known.empty())
    return "; none is known here";
  std::string near = didYouMean(word, known);
  return (near.empty() ? ";" : near) + " known: " + joined(known);
}

std::string unknownWord(std::string_view what, std::string_view word, const std::vector<std::string>& known) {
  return fmt::format("unknown {} {}{}", what, inQuotes(word), suggestion(word, known));
}

bool isName(std::string_view text) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return !text.empty() && text.size() <= 64 && letter(text[0]) && std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || digit(c); });
}

} // namespace moec::models
