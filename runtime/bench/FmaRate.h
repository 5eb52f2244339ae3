#pragma once
// How many operations a second the multiply-add units of this CPU do with everything in registers: the limit of every product. Knows no model.

#include <cstdint>

namespace moec::bench {

/// Does `rounds` rounds of independent multiply-adds with the widest vectors that this CPU and system have; the arithmetic operations done, of which a
/// multiply-add counts two.
double fmaRoundsFloat(int64_t rounds);
double fmaRoundsDouble(int64_t rounds);

/// The vectors of these rounds: "avx512", "avx2", "sse2" (which multiplies and adds one after the other), or "plain" of another CPU.
const char* fmaVectors();

} // namespace moec::bench
