#pragma once
// A size known when a program is called: an integer expression over named symbols (batch, sequence ...).
// Shapes in the IR, capacities of gates and buffer sizes of the plan are all written with it.
//
// Text form (canonical, what str() prints and parse() reads):
//   size   := ["-"] term (("+" | "-") term)*            monomials sorted by degree (highest first), then by text
//   term   := [int "*"] factor ("*" factor)* | int      factors sorted by text
//   factor := name | call
//   call   := "floordiv(" size "," size ")" | "min(" size "," size ")" | "max(" size "," size ")"
//           | "ceil(" real ")" | "trunc(" real ")"
//   real   := realFactor (("*" | "/") realFactor)*       evaluated in double, strictly from left to right
//   realFactor := decimal | "(" size ")"                 decimals print shortest round-trip; a lone name or integer needs no brackets
// Two sizes are equal when their canonical texts are.

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Values of symbols at a call.
using Bindings = std::map<std::string, int64_t, std::less<>>;

class Size {
public:
  Size(int64_t value = 0);
  static Size symbol(std::string_view name);
  /// Throws Error(Internal) with the position when the text is not a size; accepts any order, result is canonical.
  static Size parse(std::string_view text);

  friend Size operator+(const Size& a, const Size& b);
  friend Size operator-(const Size& a, const Size& b);
  friend Size operator*(const Size& a, const Size& b);
  static Size floorDiv(const Size& a, const Size& b); // exact polynomial quotient where one exists, else a call;
                                                      // floordiv(4*T+3,4) is T
  static Size ceilDiv(const Size& a, const Size& b);  // floorDiv(a + b - 1, b)
  static Size min(const Size& a, const Size& b);
  static Size max(const Size& a, const Size& b);
  /// A product chain over doubles, from left to right: `first`, then each (op, operand); op is '*' or '/'.
  struct Real;
  static Size ceil(const Real& real);
  static Size trunc(const Real& real);

  std::optional<int64_t> constant() const;
  bool isConstant() const { return constant().has_value(); }
  /// Names used, sorted, each once.
  std::vector<std::string> symbols() const;
  /// Its name, where the size is one symbol and nothing else.
  std::optional<std::string> asSymbol() const;
  /// Checked 64-bit arithmetic. Throws Error(Usage) naming an unbound symbol, Error(Data) on overflow or division by zero.
  int64_t evaluate(const Bindings& bindings) const;
  /// This size with symbols replaced.
  Size substitute(const std::map<std::string, Size, std::less<>>& values) const;
  std::string str() const;
  friend bool operator==(const Size& a, const Size& b) { return a.str() == b.str(); }

  struct Node; // implementation

private:
  explicit Size(std::shared_ptr<const Node> node);
  std::shared_ptr<const Node> node_;
};

struct Size::Real {
  struct Factor {
    std::optional<double> number; // a literal ...
    std::optional<Size> size;     // ... or a size, converted to double
    char op = '*';                // how it joins what stands left of it; ignored for the first
  };
  std::vector<Factor> factors;
};

} // namespace moec
