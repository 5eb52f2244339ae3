#pragma once
// The inside of Size: a polynomial with 64-bit coefficients whose indeterminates are symbols and calls that do not simplify ("atoms").
// Only the Size*.cpp files include this.

#include "runtime/core/Size.h"

namespace moec {

/// A call that stays a call.
struct SizeCall {
  enum class Kind { FloorDiv, Min, Max, Ceil, Trunc } kind;
  std::vector<Size> operands; // FloorDiv, Min, Max: two
  Size::Real real;            // Ceil, Trunc
};

/// An indeterminate: a symbol, or a call known by its canonical text.
struct SizeAtom {
  std::string text;
  std::optional<SizeCall> call;
};

using Monomial = std::vector<std::shared_ptr<const SizeAtom>>; // sorted by text; a power repeats its atom

struct SizeTerm {
  int64_t coefficient;
  Monomial monomial;
};

struct Size::Node {
  std::vector<SizeTerm> terms; // canonical: sorted, merged, none zero
  std::string text;

  /// Sorts, merges and prints. Error(Data) when a coefficient overflows or there are too many terms.
  static Size make(std::vector<SizeTerm> terms);
  static Size makeCall(SizeCall call);
  static const Node& of(const Size& size) { return *size.node_; }
};

/// The polynomial q with q*b == a, if its coefficients are integers. b is not zero.
std::optional<Size> exactQuotient(const Size& a, const Size& b);

int64_t floorDivide(int64_t a, int64_t b);
/// Evaluates ceil or trunc of a chain of numbers. Error(Data) when the result is no 64-bit integer.
int64_t roundReal(SizeCall::Kind kind, double value);

/// Checked 64-bit arithmetic: Error(Data) on overflow.
int64_t addChecked(int64_t a, int64_t b);
int64_t multiplyChecked(int64_t a, int64_t b);

} // namespace moec
