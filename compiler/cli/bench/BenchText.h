#pragma once
// Results of `moec bench` for people and for tables of others.

#include "compiler/cli/bench/BenchCompare.h"

namespace moec::cli {

std::string toText(const BenchReport& report);
/// Colours the verdicts when stdout may be coloured.
std::string toText(const BenchComparisons& comparisons);

/// Of each benchmark a row for the call, whose kernel is empty, and one for each kernel; times in seconds. As RFC 4180 has it, but lines end in \n.
std::string toCsv(const BenchReport& report);
std::string toCsv(const BenchComparisons& comparisons);

/// "0.36", "12.3", "45.6 k": how many a second.
std::string rateText(double rate);
/// "layers.0.moe, and 3 more".
std::string layerText(const std::vector<std::string>& layers);
/// A part in percent, with three digits that matter.
std::string percent(double part);

} // namespace moec::cli
