#pragma once
// Two rows of benchmarks beside each other. Runs nothing.

#include "compiler/cli/bench/BenchReport.h"
#include "runtime/bench/Comparison.h"

namespace moec::cli {

/// One benchmark that both have. The first of two is A, the second B.
struct BenchComparison {
  std::string what;        // "forward/tokens:64"
  Bindings sizesA, sizesB; // of the call
  double medianA = 0, medianB = 0;
  bench::Ratio ratio; // of B's time over A's

  /// "faster", "slower", of B; or "no difference shown".
  const char* verdict() const;
};

struct BenchComparisons {
  std::string a, b; // as the user named them
  bench::Pairing pairing = bench::Pairing::Unpaired;
  std::vector<BenchComparison> comparisons;
  std::vector<std::string> differences;  // in how the two were measured: "threads: 1 and 2". Words of files fit a terminal
  std::vector<std::string> onlyA, onlyB; // benchmarks

  /// Of the intervals, in words.
  std::string method() const;
};

/// Benchmarks belong together when they do the same with as many tokens, whatever their models are called. Error(Data) when none do, or times are too few.
BenchComparisons compareReports(const std::string& nameA, const BenchReport& a, const std::string& nameB, const BenchReport& b, bench::Pairing pairing);

} // namespace moec::cli
