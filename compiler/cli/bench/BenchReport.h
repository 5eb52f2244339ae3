#pragma once
// What `moec bench` measured, as plain numbers, and what follows from them. Runs nothing, prints nothing.

#include "runtime/bench/MachineLimits.h"
#include "runtime/bench/Roofline.h"
#include "runtime/bench/Statistics.h"
#include "runtime/core/Plan.h"

#include <string>
#include <vector>

namespace moec::cli {

struct BenchLaunch {
  LaunchList list = LaunchList::Forward;
  size_t index = 0;
  std::string layer, kind, kernel;
  bench::Work work;            // of one launch
  std::vector<double> seconds; // a repetition each, mean of its calls
};

/// One benchmark: calls of one size.
struct BenchTimes {
  std::string name; // "vit-moe/forward/tokens:64"
  std::string pass; // "forward", or "step" of a training
  int64_t tokens = 0;
  Bindings sizes;
  int64_t calls = 0;                      // of a repetition
  std::vector<double> seconds;            // of a call, a repetition each
  std::vector<double> clocked;            // of calls whose launches were timed, a repetition each; empty where they were not
  std::vector<BenchLaunch> launches;      // empty where they were not timed
  std::vector<bench::LimitSample> limits; // a repetition each; empty where there are none to measure

  double best() const;
  bench::Spread spread() const { return bench::spreadOf(seconds); }
  double tokensPerSecond() const; // by the median
};

struct BenchReport {
  std::string model, build, device, target;
  std::string cpu;   // of the host
  std::string token; // what a token is: "token", or "picture" of a model of pictures
  std::string made;  // how the plan came to be: "training, --recompute"; "inference, compiled before" of a program
  Purpose purpose = Purpose::Inference;
  int threads = 0;       // of the CPU as a device; 0 of others
  int64_t readBytes = 0; // memory that the rate of reading was measured on
  std::vector<BenchTimes> benchmarks;

  bool hasLimits() const;
  /// The best of all benchmarks: one machine.
  bench::Peaks peaks() const;
};

/// "batch=1, sequence=64".
std::string sizeText(const Bindings& sizes);

/// The launches of one kernel, in the same benchmark.
struct BenchKernel {
  std::string kernel, kind;
  std::vector<std::string> layers; // each once
  int launches = 0;
  bench::Work work;
  double best = 0, median = 0; // of a call: all of these launches together
  double share = 0;            // of the time of a call
  bench::Bound bound;          // the sum of the launches' bounds; its side is the greater's

  double flops() const { return work.flops32 + work.flops64; }
  double ofLimit() const { return best > 0 ? bound.seconds / best : 0; }
};

/// By kernel, the one that takes most first; last of all `sum`, of all launches together: its kernel is "", its kind "sum".
std::vector<BenchKernel> kernelsOf(const BenchTimes& times, const bench::Peaks& peaks);
/// Share of a call's time that is spent outside of the launches.
double outsideShare(const BenchTimes& times);

/// Useful arithmetic and least traffic of a launch. Its arithmetic is in double when the greatest tensor of floats that it reads or writes is.
bench::Work workOf(const Plan& plan, const LaunchInfo& launch, const Bindings& sizes);

} // namespace moec::cli
