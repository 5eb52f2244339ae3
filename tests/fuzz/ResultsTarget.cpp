// Results of `moec bench`, as --compare takes them.

#include "compiler/cli/bench/BenchCompare.h"
#include "compiler/cli/bench/ResultFile.h"
#include "runtime/core/Printable.h"
#include "tests/fuzz/Refusable.h"
#include "tests/fuzz/Targets.h"

#include <stdexcept>

namespace moec::fuzz {

bool results(Bytes bytes) {
  return refusable([&] {
    cli::BenchReport report = cli::parseBenchReport(bytes, "f"), other = report;
    other.model = other.build = other.device = other.target = other.cpu = other.token = other.made = "";
    for (cli::BenchTimes& times : other.benchmarks)
      times.sizes.clear();
    cli::BenchComparisons comparisons = cli::compareReports("a", report, "b", other, bench::Pairing::Unpaired);
    if (comparisons.comparisons.size() != report.benchmarks.size())
      throw std::logic_error("a result has other benchmarks than itself");
    for (const std::string& difference : comparisons.differences)
      if (hasControls(difference) || difference.size() > 100'000)
        throw std::logic_error("a word of a file reaches a terminal: " + difference);
  });
}

} // namespace moec::fuzz
