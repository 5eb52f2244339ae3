#pragma once
// Files that `moec bench -o` wrote, read again: what comparing needs of them. A file may be anyone's; it is checked before it is used.

#include "compiler/cli/bench/BenchReport.h"

#include <filesystem>
#include <span>

namespace moec::cli {

inline constexpr const char* kBenchFormat = "moec bench 1"; // `format` of a report

/// Whether the file is a JSON object whose `format`, wherever it stands in it, is a text that begins with "moec bench".
bool isBenchReport(const std::filesystem::path& file);

/// The report without its launches and limits. Error(Data) that says where a file is not as toJson() writes it: also for a benchmark twice, for more than 16
/// levels of lists and objects, and for more benchmarks or times than comparing can go through in seconds (1000; 100 000 of one, 500 000 of all).
BenchReport readBenchReport(const std::filesystem::path& file);
/// The same of a text; `name` stands in errors.
BenchReport parseBenchReport(std::span<const uint8_t> text, const std::string& name);

} // namespace moec::cli
