#pragma once
// Kernels of kind `places` and `swipe`: the cases of the CPU's and of CUDA's tests.

#include "tests/codegen/KernelCheck.h"

namespace moec::testing {

struct OrderCase {
  const char* name;
  const char* kind; // places or swipe
  int64_t tokens, choices, experts;
  const char* priority = "token_major";
  int64_t groups = 0;                                       // 0: none are named
  int64_t workers = 1;                                      // of swipe
  const char* scores = "f32";                               // their dtype
  bool isMasked = false, isCrowded = false, isTied = false; // crowded: all choose one expert; tied: there are few scores, and NaN
};
void PrintTo(const OrderCase& c, std::ostream* out);

std::vector<OrderCase> orderCases();
/// Sizes are symbols: t and g.
ParsedKernel parseOrder(const OrderCase& c);
CheckOptions optionsOf(const OrderCase& c);

} // namespace moec::testing
