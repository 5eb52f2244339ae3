#include "runtime/core/Error.h"
#include "runtime/core/SizePolynomial.h"

#include <fmt/format.h>

#include <charconv>

namespace moec {
namespace {

constexpr size_t kMaxText = 16384; // bytes
constexpr int kMaxDepth = 64;      // brackets within brackets

bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool isLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/// Recursive descent over the grammar at the head of Size.h; spaces may stand between tokens.
class Parser {
public:
  explicit Parser(std::string_view text) : text_(text) {}

  Size parseAll() {
    if (text_.size() > kMaxText)
      fail(fmt::format("a size is longer than {} bytes", kMaxText));
    Size size = parseSize();
    if (peek() != '\0' || at_ < text_.size())
      fail("expected the end");
    return size;
  }

private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(Fault::Internal, fmt::format("size \"{}\", character {}: {}", text_.substr(0, 200), at_ + 1, what));
  }

  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ')
      ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool take(char c) {
    if (peek() != c)
      return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!take(c))
      fail(fmt::format("expected '{}'", c));
  }

  Size parseSize() {
    if (++depth_ > kMaxDepth)
      fail(fmt::format("more than {} brackets within each other", kMaxDepth));
    std::vector<SizeTerm> simple; // merged once, so that a long sum is not quadratic
    bool negative = take('-');
    do {
      Size term = parseTerm(negative);
      const auto& terms = Size::Node::of(term).terms;
      simple.insert(simple.end(), terms.begin(), terms.end());
    } while ((negative = take('-')) || take('+'));
    --depth_;
    return Size::Node::make(std::move(simple));
  }

  Size parseTerm(bool negative) {
    __int128 coefficient = negative ? -1 : 1;
    Size product = 1;
    do {
      if (isDigit(peek()))
        coefficient = multiply(coefficient, parseInteger());
      else
        product = product * parseFactor();
    } while (take('*'));
    if (coefficient > INT64_MAX)
      fail("an integer overflows 64 bits");
    return Size(static_cast<int64_t>(coefficient)) * product;
  }

  __int128 multiply(__int128 a, uint64_t b) const {
    __int128 product = a * static_cast<__int128>(b); // |a| <= 2^63
    if (product > (__int128{1} << 63) || product < -(__int128{1} << 63))
      fail("an integer overflows 64 bits");
    return product;
  }

  uint64_t parseInteger() {
    uint64_t value = 0;
    auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (code != std::errc{})
      fail("an integer overflows 64 bits");
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }

  Size parseFactor() {
    if (!isLetter(peek()))
      fail("expected a name, a call or an integer");
    size_t begin = at_;
    while (at_ < text_.size() && (isLetter(text_[at_]) || isDigit(text_[at_]) || text_[at_] == '.'))
      ++at_;
    std::string_view name = text_.substr(begin, at_ - begin);
    return take('(') ? parseCall(name, begin) : Size::symbol(name);
  }

  Size parseCall(std::string_view name, size_t begin) {
    if (name == "ceil" || name == "trunc") {
      Size::Real real = parseReal();
      expect(')');
      return name == "ceil" ? Size::ceil(real) : Size::trunc(real);
    }
    if (name != "floordiv" && name != "min" && name != "max") {
      at_ = begin;
      fail(fmt::format("unknown call '{}'; known: floordiv, min, max, ceil, trunc", name));
    }
    Size a = parseSize();
    expect(',');
    Size b = parseSize();
    expect(')');
    return name == "floordiv" ? Size::floorDiv(a, b) : name == "min" ? Size::min(a, b) : Size::max(a, b);
  }

  Size::Real parseReal() {
    Size::Real real;
    char op = '*';
    while (true) {
      Size::Real::Factor factor = parseRealFactor();
      factor.op = op;
      real.factors.push_back(std::move(factor));
      if (take('*'))
        op = '*';
      else if (take('/'))
        op = '/';
      else
        return real;
    }
  }

  Size::Real::Factor parseRealFactor() {
    Size::Real::Factor factor;
    char c = peek();
    if (take('(')) {
      factor.size = parseSize();
      expect(')');
    } else if (isLetter(c)) {
      if (++depth_ > kMaxDepth)
        fail(fmt::format("more than {} brackets within each other", kMaxDepth));
      factor.size = parseFactor();
      --depth_;
    } else {
      factor.number = parseDecimal();
    }
    return factor;
  }

  double parseDecimal() {
    size_t digit = at_ + (peek() == '-');
    if (digit >= text_.size() || !(isDigit(text_[digit]) || text_[digit] == '.'))
      fail("expected a decimal, a name or a size in brackets");
    double value = 0;
    auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (code != std::errc{})
      fail("a decimal that a double cannot hold");
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

} // namespace

Size Size::parse(std::string_view text) { return Parser(text).parseAll(); }

} // namespace moec
