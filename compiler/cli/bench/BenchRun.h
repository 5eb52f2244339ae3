#pragma once
// The measuring: subjects called in repetitions by Google Benchmark, side by side where there are two, and the machine's limits between them. Prints nothing.

#include "compiler/cli/bench/BenchReport.h"
#include "compiler/cli/bench/BenchSubject.h"

#include <functional>

namespace moec::cli {

struct BenchSettings {
  int repetitions = 10;
  double minSeconds = 0.05;                                 // of a repetition's calls, at least
  bench::MachineLimits* limits = nullptr;                   // null: none are measured
  bool timesLaunches = false;                               // and a quarter as many calls in which each launch is timed by itself
  std::function<void(const std::string& name)> onBenchmark; // told of each when it begins
};

/// What a benchmark calls each subject with; `sizes` go by the subjects, for two models may name theirs differently.
struct BenchCase {
  int64_t tokens = 0;
  std::vector<Bindings> sizes;
};

/// Of each subject the times of every case. In a repetition the subjects take turns, and each begins as often as the others; before its calls count, each is
/// called once. What a call throws ends the measuring; an Error then names the benchmark, and those that are lost with it.
std::vector<std::vector<BenchTimes>> runBenchmarks(const std::vector<BenchSubject*>& subjects, const std::vector<BenchCase>& cases,
                                                   const BenchSettings& settings);

} // namespace moec::cli
