#pragma once
// The search for better schedules: in a round every kernel of the model tries one candidate, all in one program that takes turns with the best one so far.
// What came out best is measured once more beside the cost model's program, and only what is better there too counts. Prints nothing, writes no file.

#include "compiler/cli/tune/Contender.h"
#include "runtime/bench/Comparison.h"
#include "runtime/bench/Statistics.h"

#include <atomic>
#include <functional>
#include <string>
#include <vector>

namespace moec::cli {

struct TuneSettings {
  double budget = 60;                                 // seconds of search; what is measured last comes on top of it
  std::vector<Bindings> sizes;                        // of the calls that are timed, one at least
  const std::atomic<bool>* stop = nullptr;            // true: come to an end with what is known; null: nobody says so
  std::function<void(const std::string&)> onProgress; // told what goes on

  bool isStopped() const { return stop && *stop; }
};

/// Times of a kernel in calls of one size.
struct KernelTiming {
  Bindings sizes;
  double before = 0, after = 0; // seconds of a call, medians
  bench::Ratio ratio;           // after over before
};

struct TunedKernel {
  std::string key, target, kind, layer;
  int launches = 0;
  std::string sizes;                 // the sizes that it was tuned for, see TunedSchedule
  KernelSchedule model, tuned;       // the cost model's; the one to use, which may be the same
  int tried = 0;                     // candidates that were measured
  std::vector<KernelTiming> timings; // one for each of the settings' sizes; of a kernel that stays as it is, empty
  bool isRefuted = false;            // the schedule to begin with, measured to the end beside the cost model's, was not shown to be better

  bool isTuned() const { return tuned != model; }
  /// The mean of its ratios, geometric; 1 for one that stays as it is.
  double ratio() const;
};

struct TuneResult {
  std::string model, target;
  std::vector<TunedKernel> kernels; // those with launches in a call, in order of first use
  double before = 0, after = 0;     // seconds of a call, summed up over the sizes: its launches
  int rounds = 0;
  double seconds = 0;
  bool isWhole = false;   // every candidate was tried; else the budget or somebody ended it
  bool isStopped = false; // by somebody, before its last measurement had ended
  int known = 0;          // kernels that began with a schedule known from before
};

/// `start`: schedules to begin with, known from before.
TuneResult tune(const TunedModel& model, const Schedules& start, const TuneSettings& settings);

} // namespace moec::cli
