#pragma once
// A regular expression over UTF-8 text, by PCRE2.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace moec::data {

class Regex {
public:
  /// An expression of a tokenizer.json (RegexSyntax.h). Throws RegexSyntaxError for what is not known or wrong.
  explicit Regex(std::string_view pattern);
  ~Regex();
  Regex(const Regex&) = delete;

  /// Calls `found(begin, end)` for each match from the left in valid UTF-8; an empty match right behind the last one is none. Error(Data) for a text on which
  /// the expression needs too many steps.
  void each(std::string_view text, const std::function<void(size_t, size_t)>& found) const;

private:
  struct Code;
  std::unique_ptr<Code> code_;
  std::string pattern_;
};

} // namespace moec::data
