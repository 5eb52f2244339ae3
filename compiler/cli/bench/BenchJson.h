#pragma once
// Results of `moec bench` as JSON (docs/schemas/bench.json), and back what comparing needs.

#include "compiler/cli/bench/BenchCompare.h"

#include <filesystem>

namespace moec::cli {

std::string toJson(const BenchReport& report);
std::string toJson(const BenchComparisons& comparisons);

/// Whether the file is JSON as toJson() of a report writes it, by its first word.
bool isBenchReport(const std::filesystem::path& file);
/// The report without its launches and limits. Error(Data) that says where a file is not as toJson() writes it.
BenchReport readBenchReport(const std::filesystem::path& file);

} // namespace moec::cli
