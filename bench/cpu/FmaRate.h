#pragma once
// How many operations a second the multiply-add units of this machine reach with everything in registers: the limit of every product.

#include <cstdint>

namespace moec::bench {

/// Does `rounds` rounds of independent multiply-adds with the widest vectors of this CPU; the arithmetic operations done.
double fmaRoundsFloat(int64_t rounds);
double fmaRoundsDouble(int64_t rounds);

} // namespace moec::bench
