#include "compiler/cli/bench/BenchRun.h"

#include "runtime/core/Error.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <chrono>
#include <exception>
#include <map>
#include <memory>
#include <sstream>

namespace moec::cli {

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// What one repetition found of a subject.
struct Turn {
  double seconds = 0, clocked = 0; // of a call
  std::vector<double> launches;    // of a call, in the order of the plan's lists
};

struct Repetition {
  int64_t calls = 0;
  std::vector<Turn> turns; // a subject each
  bench::LimitSample limits;
};

size_t placeOf(const Plan& plan, LaunchList list, size_t index) { return index + (list == LaunchList::Apply ? plan.forward.size() : 0); }

/// One case as a function of the library. The library looks for a number of calls that takes long enough, and then repeats it.
class CaseRun {
public:
  /// `failure` is of all cases: behind the first call that fails nothing more is measured.
  CaseRun(std::string name, const std::vector<BenchSubject*>& subjects, const BenchCase& what, const BenchSettings& settings, std::exception_ptr& failure)
      : name_(std::move(name)), subjects_(subjects), case_(what), settings_(settings), failure_(failure) {}

  const std::string& name() const { return name_; }
  bool isWhole() const { return kept_.size() == static_cast<size_t>(settings_.repetitions); }

  void run(benchmark::State& state) {
    if (failure_)
      return state.SkipWithError("a call before failed");
    try {
      repeat(state);
    } catch (...) {
      failure_ = std::current_exception();
      state.SkipWithError("a call failed");
    }
  }

  /// The library has kept this repetition, the last of those before it went over to the next.
  void keep(size_t repetition, int64_t calls, size_t repetitions) {
    size_t searched = attempts_.size() - repetitions;
    const Repetition& kept = attempts_.at(searched + repetition);
    if (kept.calls != calls)
      throw Error(Fault::Internal, fmt::format("{}: a repetition of {} calls is told as one of {}", name_, kept.calls, calls));
    kept_.push_back(kept);
  }

  BenchTimes timesOf(size_t subject) const {
    const BenchSubject& of = *subjects_[subject];
    const Plan& plan = of.plan();
    BenchTimes times{.name = name_, .pass = of.pass(), .tokens = case_.tokens, .sizes = case_.sizes[subject]};
    if (settings_.timesLaunches)
      for (LaunchList list : {LaunchList::Forward, LaunchList::Apply})
        for (size_t i = 0; i < plan.launches(list).size(); ++i) {
          const LaunchInfo& launch = plan.launches(list)[i];
          times.launches.push_back({list, i, launch.label, launch.kind, launch.kernel, workOf(plan, launch, times.sizes), {}});
        }
    for (const Repetition& repetition : kept_) {
      const Turn& turn = repetition.turns[subject];
      times.calls = repetition.calls;
      times.seconds.push_back(turn.seconds);
      if (settings_.timesLaunches)
        times.clocked.push_back(turn.clocked);
      for (size_t i = 0; i < times.launches.size(); ++i)
        times.launches[i].seconds.push_back(turn.launches[i]);
      if (settings_.limits)
        times.limits.push_back(repetition.limits);
    }
    return times;
  }

private:
  void repeat(benchmark::State& state) {
    if (attempts_.empty()) {
      if (settings_.onBenchmark)
        settings_.onBenchmark(name_);
      for (size_t i = 0; i < subjects_.size(); ++i) {
        subjects_[i]->setSizes(case_.sizes[i]);
        subjects_[i]->call(); // packs weights, makes room for this size
      }
    }
    Repetition repetition{.calls = state.max_iterations, .turns = std::vector<Turn>(subjects_.size()), .limits = {}};
    while (state.KeepRunningBatch(state.max_iterations)) {
      double all = 0;
      for (size_t i = 0; i < subjects_.size(); ++i) {
        size_t turn = (i + attempts_.size()) % subjects_.size();
        all += callOften(*subjects_[turn], repetition.calls, repetition.turns[turn]);
      }
      state.SetIterationTime(all);
    }
    if (settings_.timesLaunches)
      for (size_t i = 0; i < subjects_.size(); ++i)
        timeLaunches(*subjects_[i], std::max<int64_t>(1, repetition.calls / 4), repetition.turns[i]);
    if (settings_.limits)
      repetition.limits = settings_.limits->measure();
    attempts_.push_back(std::move(repetition));
  }

  static double callOften(BenchSubject& subject, int64_t calls, Turn& turn) {
    subject.call(); // brings back what others have pushed out of the caches
    Clock::time_point begin = Clock::now();
    for (int64_t i = 0; i < calls; ++i)
      subject.call();
    double seconds = secondsSince(begin);
    turn.seconds = seconds / static_cast<double>(calls);
    return seconds;
  }

  static void timeLaunches(BenchSubject& subject, int64_t calls, Turn& turn) {
    const Plan& plan = subject.plan();
    std::vector<std::chrono::nanoseconds> sums(plan.forward.size() + plan.apply.size());
    subject.timeLaunches([&](LaunchList list, size_t index, std::chrono::nanoseconds time) {
      if (list != LaunchList::Prepare)
        sums[placeOf(plan, list, index)] += time;
    });
    Clock::time_point begin = Clock::now();
    for (int64_t i = 0; i < calls; ++i)
      subject.call();
    turn.clocked = secondsSince(begin) / static_cast<double>(calls);
    subject.timeLaunches({});
    for (std::chrono::nanoseconds sum : sums)
      turn.launches.push_back(std::chrono::duration<double>(sum).count() / static_cast<double>(calls));
  }

  std::string name_;
  const std::vector<BenchSubject*>& subjects_;
  const BenchCase& case_;
  const BenchSettings& settings_;
  std::exception_ptr& failure_;
  std::vector<Repetition> attempts_, kept_; // all that ran; those that the library counts
};

/// Takes what the library tells, in the place of its printers.
class Collector : public benchmark::BenchmarkReporter {
public:
  Collector(std::map<std::string, CaseRun*> runs, size_t repetitions) : runs_(std::move(runs)), repetitions_(repetitions) {
    SetOutputStream(&words_);
    SetErrorStream(&words_);
  }

  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs)
      if (run.run_type == Run::RT_Iteration && !run.error_occurred && !failure_)
        try {
          runs_.at(run.run_name.function_name)->keep(static_cast<size_t>(std::max<int64_t>(run.repetition_index, 0)), run.iterations, repetitions_);
        } catch (...) { // not through the library
          failure_ = std::current_exception();
        }
  }
  const std::exception_ptr& failure() const { return failure_; }

private:
  std::map<std::string, CaseRun*> runs_;
  size_t repetitions_;
  std::ostringstream words_;
  std::exception_ptr failure_;
};

/// The library takes its defaults from the environment; here the command alone says what is measured.
void ignoreEnvironment() {
  std::array<std::string, 6> words{
      "moec", "--benchmark_out=", "--benchmark_list_tests=false", "--benchmark_enable_random_interleaving=false", "--benchmark_perf_counters=", "--v=0"};
  std::array<char*, 7> pointers{};
  for (size_t i = 0; i < words.size(); ++i)
    pointers[i] = words[i].data();
  int count = static_cast<int>(words.size());
  benchmark::Initialize(&count, pointers.data());
}

/// An error says which benchmarks, measured before it, are lost with it.
[[noreturn]] void rethrow(const std::exception_ptr& failure, const std::vector<std::unique_ptr<CaseRun>>& runs) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    std::vector<std::string> whole, open;
    for (const auto& run : runs)
      (run->isWhole() ? whole : open).push_back(run->name());
    std::string where = open.empty() ? "" : open[0] + ": ";
    throw Error(error.fault(),
                whole.empty() ? where + error.what() : fmt::format("{}{}; measured before, and lost with it: {}", where, error.what(), fmt::join(whole, ", ")));
  }
}

} // namespace

std::vector<std::vector<BenchTimes>> runBenchmarks(const std::vector<BenchSubject*>& subjects, const std::vector<BenchCase>& cases,
                                                   const BenchSettings& settings) {
  ignoreEnvironment();
  benchmark::ClearRegisteredBenchmarks();
  std::exception_ptr failure;
  std::vector<std::unique_ptr<CaseRun>> runs;
  std::map<std::string, CaseRun*> byName;
  for (const BenchCase& one : cases) {
    std::string name = fmt::format("{}/{}/tokens:{}", subjects[0]->name(), subjects[0]->pass(), one.tokens);
    CaseRun* run = runs.emplace_back(std::make_unique<CaseRun>(name, subjects, one, settings, failure)).get();
    byName[name] = run;
    benchmark::RegisterBenchmark(name.c_str(), [run](benchmark::State& state) { run->run(state); })
        ->UseManualTime()
        ->MinTime(settings.minSeconds)
        ->Repetitions(settings.repetitions);
  }
  Collector collector(byName, static_cast<size_t>(settings.repetitions));
  benchmark::RunSpecifiedBenchmarks(&collector, nullptr, "all");
  benchmark::ClearRegisteredBenchmarks();
  if (failure)
    rethrow(failure, runs);
  if (collector.failure())
    std::rethrow_exception(collector.failure());
  std::vector<std::vector<BenchTimes>> times(subjects.size());
  for (size_t subject = 0; subject < subjects.size(); ++subject)
    for (const auto& run : runs) {
      times[subject].push_back(run->timesOf(subject));
      if (times[subject].back().seconds.size() != static_cast<size_t>(settings.repetitions))
        throw Error(Fault::Internal, fmt::format("{}: {} repetitions were asked for, and {} were told of", run->name(), settings.repetitions,
                                                 times[subject].back().seconds.size()));
    }
  return times;
}

} // namespace moec::cli
