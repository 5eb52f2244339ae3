#include "models/json/Words.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace moec::models {

namespace {

constexpr size_t kLongest = 80;

size_t editDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

} // namespace

std::string quoted(std::string_view text) {
  std::string result = "\"";
  size_t length = 0;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    bool startsCharacter = (byte & 0xC0) != 0x80;
    if (startsCharacter && ++length > kLongest)
      return result + "...\"";
    if (c == '"' || c == '\\')
      result += '\\';
    if (byte < 0x20 || byte == 0x7F)
      result += fmt::format("\\u{:04x}", byte);
    else
      result += c;
  }
  return result + "\"";
}

std::string joined(std::span<const std::string> words) {
  return fmt::format("{}", fmt::join(words.begin(), words.end(), ", "));
}

std::string nearest(std::string_view word, std::span<const std::string> known) {
  if (word.size() > kLongest)
    return "";
  std::string best;
  size_t distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    size_t d = editDistance(word, candidate);
    if (d < distance && d < candidate.size()) {
      distance = d;
      best = candidate;
    }
  }
  return best;
}

std::string suggestion(std::string_view word, std::span<const std::string> known) {
  if (known.empty())
    return "; none is known here";
  std::string near = nearest(word, known);
  return (near.empty() ? ";" : fmt::format("; did you mean {}?", quoted(near))) + " known: " + joined(known);
}

std::string unknownWord(std::string_view what, std::string_view word, std::span<const std::string> known) {
  return fmt::format("unknown {} {}{}", what, quoted(word), suggestion(word, known));
}

bool isName(std::string_view text) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return !text.empty() && text.size() <= 64 && letter(text[0]) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || digit(c); });
}

} // namespace moec::models
