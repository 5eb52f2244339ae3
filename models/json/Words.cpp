#include "models/json/Words.h"

#include "runtime/core/NearestName.h"
#include "runtime/core/Printable.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec::models {

namespace {

constexpr size_t kLongest = 80;    // characters of a word
constexpr size_t kMostWords = 256; // of a list: no table has so many, but a file may, and tell of them in each of its errors

/// A word of a file, so that it neither steers a terminal nor fills it.
std::string shown(std::string_view text, bool escapesQuotes) {
  std::string result;
  for (size_t length = 0; !text.empty(); ++length) {
    if (length == kLongest)
      return result + "...";
    if (escapesQuotes && (text[0] == '"' || text[0] == '\\'))
      result += '\\';
    text.remove_prefix(appendPrintable(result, text));
  }
  return result;
}

} // namespace

std::string inQuotes(std::string_view text) { return "\"" + shown(text, true) + "\""; }

std::string joined(std::span<const std::string> words) {
  std::string result;
  for (const std::string& word : words.first(std::min(words.size(), kMostWords)))
    result += (result.empty() ? "" : ", ") + shown(word, false);
  return words.size() > kMostWords ? result + ", ..." : result;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& known) {
  if (known.empty())
    return "; none is known here";
  std::optional<std::string> near = nearestName(word, known);
  return (near ? "; did you mean " + inQuotes(*near) + "?" : ";") + " known: " + joined(known);
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
