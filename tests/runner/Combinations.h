#pragma once
// Sweeps over lists (types, shapes, targets, variants): all combinations, or by default some, in which any two values meet. Each such test says what its
// choice is for.

#include <cstdlib>

namespace moec::test {

/// Label slow runs the same cases with MOEC_TEST_COMBINATIONS=all; label targets has all, too.
inline bool allCombinations() { return std::getenv("MOEC_TEST_COMBINATIONS") || std::getenv("MOEC_TEST_TARGET"); }

} // namespace moec::test
