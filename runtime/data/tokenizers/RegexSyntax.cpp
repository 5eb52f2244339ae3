#include "runtime/data/tokenizers/RegexSyntax.h"

#include "runtime/core/Utf8.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <utility>

namespace moec::data {
namespace {

/// A set in the words that stand between the brackets of a class, and what is outside of it, where that can be said so too.
struct Set {
  std::string_view inside, outside;
};

constexpr Set kSpace{
    R"(\x{09}-\x{0d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})",
    R"(\x{00}-\x{08}\x{0e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})"};
constexpr Set kDigit{R"(\p{Nd})", R"(\P{Nd})"};
constexpr Set kHex{"0-9A-Fa-f", R"(\x{00}-\x{2f}\x{3a}-\x{40}\x{47}-\x{60}\x{67}-\x{10ffff})"};
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kLoneWord =
    R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})"; // outside of brackets, superscripts and fractions of Latin-1 are words too

constexpr std::array kCategories{"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe",
                                 "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Cs", "Co", "Cn"};
struct Name {
  std::string_view name, inside;
};
constexpr std::array<Name, 16> kNames{{{"letter", R"(\p{L})"},
                                       {"mark", R"(\p{M})"},
                                       {"number", R"(\p{N})"},
                                       {"punctuation", R"(\p{P})"},
                                       {"symbol", R"(\p{S})"},
                                       {"separator", R"(\p{Z})"},
                                       {"other", R"(\p{C})"},
                                       {"alphabetic", R"(\p{Alphabetic})"},
                                       {"alpha", R"(\p{Alphabetic})"},
                                       {"alnum", R"(\p{Alphabetic}\p{Nd})"},
                                       {"digit", R"(\p{Nd})"},
                                       {"upper", R"(\p{Uppercase})"},
                                       {"lower", R"(\p{Lowercase})"},
                                       {"space", kSpace.inside},
                                       {"xdigit", kHex.inside},
                                       {"word", kWord}}};
// Those whose names \p takes as scripts; PCRE2 would take a bare name for the script's extensions too.
constexpr std::array kScripts{"Arabic",   "Armenian", "Bengali",  "Bopomofo", "Braille", "Common",    "Cyrillic",  "Devanagari", "Ethiopic",
                              "Georgian", "Greek",    "Gujarati", "Gurmukhi", "Han",     "Hangul",    "Hebrew",    "Hiragana",   "Inherited",
                              "Kannada",  "Katakana", "Khmer",    "Lao",      "Latin",   "Malayalam", "Mongolian", "Myanmar",    "Oriya",
                              "Sinhala",  "Tamil",    "Telugu",   "Thaana",   "Thai",    "Tibetan"};

/// As property names are compared: without case, spaces, hyphens and underscores.
std::string plain(std::string_view name) {
  std::string result;
  for (char c : name)
    if (c != ' ' && c != '-' && c != '_')
      result += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return result;
}

class Translator {
public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string run() {
    while (at_ < pattern_.size())
      outside();
    return std::move(result_);
  }

private:
  std::string_view pattern_;
  size_t at_ = 0;
  std::string result_;

  [[noreturn]] void fail(size_t from, std::string_view what) const {
    throw RegexSyntaxError(fmt::format("\"{}\" at byte {} of the regular expression: {}", pattern_.substr(from, at_ - from), from, what));
  }
  bool has(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  char take() {
    if (at_ == pattern_.size())
      fail(at_ - 1, "it ends in the middle");
    return pattern_[at_++];
  }

  void set(const std::string& inside, bool negated) { result_ += (negated ? "[^" : "[") + inside + "]"; }

  void outside() {
    size_t from = at_;
    char c = take();
    if (c == '\\')
      escape(from);
    else if (c == '[')
      charClass(from);
    else if (c == '(')
      group(from);
    else if (c == '{')
      repeat(from);
    else
      result_ += c;
  }

  /// Behind "(".
  void group(size_t from) {
    if (has("*")) {
      ++at_;
      fail(from, "such verbs are not known here");
    }
    result_ += '(';
    if (!has("?"))
      return;
    ++at_;
    for (std::string_view plainGroup : {":", "=", "!", ">", "<=", "<!", "#"})
      if (has(plainGroup)) {
        if (plainGroup == "#") {
          size_t end = pattern_.find(')', at_);
          at_ = end == std::string_view::npos ? pattern_.size() : end;
          result_ += "?:";
          return;
        }
        at_ += plainGroup.size();
        result_ += '?';
        result_ += plainGroup;
        return;
      }
    if (has("<")) { // a name
      size_t end = pattern_.find('>', at_);
      at_ = end == std::string_view::npos ? pattern_.size() : end + 1;
      result_ += pattern_.substr(from + 1, at_ - from - 1);
      return;
    }
    result_ += '?';
    for (;;) {
      char option = take();
      if (option == ')' && from != 0)
        fail(from, "options are known at the beginning, or of a group: (?i:..)");
      if (option == ')' || option == ':') {
        result_ += option;
        return;
      }
      if (option != 'i' && option != 'm' && option != '-')
        fail(from, "such groups are not known here");
      result_ += option == 'm' ? 's' : option; // what makes a dot match newlines
    }
  }

  /// Behind "{": {n}, {n,}, {,m}, {n,m}; else the brace is itself.
  void repeat(size_t from) {
    size_t end = pattern_.find('}', at_);
    std::string_view inner = pattern_.substr(at_, end == std::string_view::npos ? 0 : end - at_);
    bool counts = !inner.empty() && inner != "," && inner.find_first_not_of("0123456789,") == std::string_view::npos && inner.find(',') == inner.rfind(',');
    if (!counts) {
      result_ += "\\{";
      return;
    }
    at_ = end + 1;
    if (has("+")) { // a repetition of the repetition there, possessive here
      ++at_;
      fail(from, "a + behind {..} is not known here");
    }
    if (has("?") && inner.find(',') == std::string_view::npos) { // all of it or nothing there, lazy here
      ++at_;
      fail(from, "a ? behind {n} is not known here");
    }
    result_ += inner.front() == ',' ? fmt::format("{{0{}}}", inner) : fmt::format("{{{}}}", inner);
  }

  /// Digits of a number in this base.
  char32_t number(size_t from, size_t most, unsigned base) {
    char32_t value = 0;
    size_t digits = 0;
    for (; digits < most && at_ < pattern_.size(); ++digits, ++at_) {
      char c = pattern_[at_];
      unsigned digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                       : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a' + 10)
                       : c >= 'A' && c <= 'F' ? static_cast<unsigned>(c - 'A' + 10)
                                              : 99;
      if (digit >= base)
        break;
      value = value * base + digit;
    }
    if (digits == 0 || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      fail(from, "no number of a character");
    return value;
  }

  /// The character that an escape stands for, behind its backslash; nothing for other escapes.
  std::optional<char32_t> escapedCharacter(size_t from, char c) {
    switch (c) {
    case 'n':
      return U'\n';
    case 't':
      return U'\t';
    case 'r':
      return U'\r';
    case 'f':
      return U'\f';
    case 'v':
      return 0x0B;
    case 'a':
      return 0x07;
    case 'e':
      return 0x1B;
    case '0':
      return at_ < pattern_.size() && pattern_[at_] >= '0' && pattern_[at_] <= '7' ? number(from, 2, 8) : 0;
    case 'u':
      return number(from, 4, 16);
    case 'x': {
      if (!has("{")) {
        char32_t code = number(from, 2, 16);
        if (code >= 0x80)
          fail(from, "a byte that is no character; \\x{..} names one by its number");
        return code;
      }
      ++at_;
      char32_t code = number(from, 8, 16);
      if (take() != '}')
        fail(from, "expected one number and }");
      return code;
    }
    default:
      break;
    }
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter)
      return {};
    --at_;
    Utf8Character literal = firstCharacter(pattern_.substr(at_));
    at_ += literal.bytes;
    return literal.code;
  }

  /// What \p{..} means, from the brace on.
  std::string property(size_t from, bool& negated) {
    if (take() != '{')
      fail(from, "expected { behind it");
    size_t end = pattern_.find('}', at_);
    if (end == std::string_view::npos)
      fail(from, "no } follows");
    std::string_view word = pattern_.substr(at_, end - at_);
    at_ = end + 1;
    if (word.starts_with('^')) {
      negated = !negated;
      word.remove_prefix(1);
    }
    std::string name = plain(word);
    for (const char* category : kCategories)
      if (plain(category) == name)
        return fmt::format("\\p{{{}}}", category);
    for (const Name& known : kNames)
      if (known.name == name)
        return std::string(known.inside);
    for (const char* script : kScripts)
      if (plain(script) == name)
        return fmt::format("\\p{{sc:{}}}", script);
    fail(from, "this property is not known here");
  }

  /// The set that an escape stands for: inside of brackets, and whether it is all but that.
  std::optional<std::pair<std::string, bool>> escapedSet(size_t from, char c) {
    switch (c) {
    case 's':
      return std::pair(std::string(kSpace.inside), false);
    case 'S':
      return std::pair(std::string(kSpace.inside), true);
    case 'd':
      return std::pair(std::string(kDigit.inside), false);
    case 'D':
      return std::pair(std::string(kDigit.inside), true);
    case 'w':
      return std::pair(std::string(kWord), false);
    case 'W':
      return std::pair(std::string(kWord), true);
    case 'h':
      return std::pair(std::string(kHex.inside), false);
    case 'H':
      return std::pair(std::string(kHex.inside), true);
    case 'p':
    case 'P': {
      bool negated = c == 'P';
      std::string inside = property(from, negated);
      return std::pair(inside, negated);
    }
    default:
      return {};
    }
  }

  void literal(char32_t code) { result_ += fmt::format("\\x{{{:x}}}", static_cast<uint32_t>(code)); }

  void escape(size_t from) {
    char c = take();
    if (c == 'w' || c == 'W')
      return set(std::string(kLoneWord), c == 'W');
    if (auto chosen = escapedSet(from, c))
      return set(chosen->first, chosen->second);
    if (c == 'b' || c == 'B') {
      std::string word = "[" + std::string(kLoneWord) + "]";
      result_ += c == 'b' ? fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", word) : fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", word);
      return;
    }
    if (c == 'A' || c == 'z' || c == 'Z' || c == 'R' || c == 'X' || c == 'K' || (c >= '1' && c <= '9')) {
      result_ += '\\';
      result_ += c;
      return;
    }
    if (c == 'k' && has("<")) { // what a group of this name matched
      size_t end = pattern_.find('>', at_);
      std::string_view name = pattern_.substr(at_, end == std::string_view::npos ? end : end + 1 - at_);
      at_ += name.size();
      if (name.find_first_not_of("<>_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != std::string_view::npos || !name.ends_with('>'))
        fail(from, "such names are not known here");
      result_ += "\\k" + std::string(name);
      return;
    }
    if (auto code = escapedCharacter(from, c))
      return literal(*code);
    fail(from, "this escape is not known here");
  }

  /// All but a set, in the words of a class.
  std::string allBut(size_t from, const std::string& inside) {
    if (inside == kSpace.inside)
      return std::string(kSpace.outside);
    if (inside == kHex.inside)
      return std::string(kHex.outside);
    if (inside.starts_with("\\p{") && inside.find('}') + 1 == inside.size())
      return "\\P" + inside.substr(2);
    fail(from, "all but this set, inside of brackets, is not known here");
  }

  /// Behind "[".
  void charClass(size_t from) {
    result_ += '[';
    if (has("^")) {
      ++at_;
      result_ += '^';
    }
    if (has("]")) {
      ++at_;
      fail(from, "an empty class");
    }
    bool begins = false, ranging = false; // may the last one begin a range? Does a range end here?
    while (!has("]")) {
      bool before = std::exchange(begins, false);
      size_t start = at_;
      char c = take();
      if (has("&") && c == '&') {
        ++at_;
        fail(start, "classes joined by && are not known here");
      }
      if (c == '[') {
        if (!has(":"))
          fail(start, "a class inside of a class is not known here");
        posix(start);
      } else if (c == '\\') {
        char next = take();
        if (auto chosen = escapedSet(start, next))
          result_ += chosen->second ? allBut(start, chosen->first) : chosen->first;
        else if (next == 'b')
          literal(0x08);
        else if (auto code = escapedCharacter(start, next)) {
          literal(*code);
          begins = !ranging;
        } else
          fail(start, "this escape is not known here");
      } else if (c == '-') {
        ranging = before && !has("]"); // between two characters a range; elsewhere it is itself
        result_ += ranging ? "-" : "\\-";
        continue;
      } else {
        --at_;
        Utf8Character character = firstCharacter(pattern_.substr(at_));
        at_ += character.bytes;
        literal(character.code);
        begins = !ranging;
      }
      ranging = false;
    }
    ++at_;
    result_ += ']';
  }

  /// [:name:], behind its bracket.
  void posix(size_t from) {
    size_t end = pattern_.find(":]", at_ + 1);
    std::string_view word = end == std::string_view::npos ? std::string_view() : pattern_.substr(at_ + 1, end - at_ - 1);
    at_ = end == std::string_view::npos ? pattern_.size() : end + 2;
    bool negated = word.starts_with('^');
    if (negated)
      word.remove_prefix(1);
    for (const Name& known : kNames)
      if (known.name == word) {
        std::string inside(known.inside);
        result_ += negated ? allBut(from, inside) : inside;
        return;
      }
    fail(from, "this class is not known here");
  }
};

} // namespace

std::string toPcre(std::string_view pattern) { return Translator(pattern).run(); }

} // namespace moec::data
