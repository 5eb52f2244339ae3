#pragma once
// Sweeps over lists (types, shapes, targets, variants): all combinations, or by default some. Each such test says what its choice is for, and so which values
// meet in label slow alone.

#include <cstdlib>

namespace moec::test {

/// Label slow runs the same cases with MOEC_TEST_COMBINATIONS=all; label targets has all, too.
inline bool allCombinations() { return std::getenv("MOEC_TEST_COMBINATIONS") || std::getenv("MOEC_TEST_TARGET"); }

} // namespace moec::test
