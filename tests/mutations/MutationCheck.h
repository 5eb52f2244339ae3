#pragma once
// Runs all mutants of some kernels and holds what survives against the list of survivors.

#include "tests/mutations/Survivors.h"

namespace moec::testing {

/// Of all kernels, or of those that are small enough for the default tests. Reports with EXPECT; skips with another compiler than the list's.
void expectListedSurvivors(bool samplesOnly);

} // namespace moec::testing
