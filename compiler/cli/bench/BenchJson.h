#pragma once
// Results of `moec bench` as JSON (docs/schemas/bench.json). Back: ResultFile.h.

#include "compiler/cli/bench/BenchCompare.h"

namespace moec::cli {

std::string toJson(const BenchReport& report);
std::string toJson(const BenchComparisons& comparisons);

} // namespace moec::cli
