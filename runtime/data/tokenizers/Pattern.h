#pragma once
// What splits or replaces: a text that is searched for, or a regular expression; and the ways of splitting at what was found.

#include "runtime/data/tokenizers/JsonPlace.h"
#include "runtime/data/tokenizers/Regex.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace moec::data {

/// A part of a text, bytes [begin, end).
struct Part {
  size_t begin = 0, end = 0;
  bool found = false; // does it match?
};

class Pattern {
public:
  /// {"String": ".."} or {"Regex": ".."}.
  explicit Pattern(const JsonPlace& json);
  explicit Pattern(std::shared_ptr<const Regex> regex) : regex_(std::move(regex)) {}

  /// The text in parts that lie next to each other: what matches and what lies between. None of an empty text.
  std::vector<Part> parts(std::string_view text) const;

private:
  std::string text_;
  std::shared_ptr<const Regex> regex_;
};

/// The same for single characters.
std::vector<Part> partsByCharacter(std::string_view text, const std::function<bool(char32_t)>& matches);

/// What becomes of a part that matches: it is left out, stands alone, alone with its neighbours that match, or with the part before or behind it.
enum class SplitBehavior { Removed, Isolated, Contiguous, MergedWithPrevious, MergedWithNext };
SplitBehavior readSplitBehavior(const JsonPlace& json);

/// Parts that are left, none of them empty.
std::vector<Part> join(const std::vector<Part>& parts, SplitBehavior behavior);

} // namespace moec::data
