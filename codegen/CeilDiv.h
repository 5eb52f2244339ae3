#pragma once
// How many parts of a size cover a number. Knows nothing.

#include <cstdint>

namespace moec::codegen {

/// a / b, rounded up; of a >= 0 and b > 0.
constexpr int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

} // namespace moec::codegen
