#include "compiler/cli/tune/Tuner.h"

#include "compiler/cli/Table.h"
#include "compiler/cli/tune/Match.h"
#include "compiler/cli/tune/Search.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <set>

namespace moec::cli {

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

constexpr int kMostTurns = 24;
constexpr int kLastTurns = 32;     // beside the cost model, where all is decided
constexpr int kPlaces = 4;         // of memory, in which the two have a part of these turns each: which pages a program got may count for more than a schedule
constexpr double kShortest = 1e-6; // seconds of a kernel in a call; below them the clock is what is measured

double medianOf(std::vector<double> times) { return bench::spreadOf(std::move(times)).median; }

class Tuner {
public:
  Tuner(const TunedModel& model, const TuneSettings& settings) : model_(model), settings_(settings) {}

  TuneResult run(const Schedules& start) {
    result_.target = model_.compile.targets.at(0);
    tell("compiling");
    base_.emplace(model_, model_.compiled({}));
    result_.model = base_->subject().name();
    begin(start);
    while (!isOver() && round()) {
    }
    confirm();
    result_.isStopped = settings_.isStopped();
    result_.seconds = secondsSince(begin_);
    return std::move(result_);
  }

private:
  bool isOver() const { return settings_.isStopped() || secondsSince(begin_) > settings_.budget; }
  void tell(const std::string& what) const {
    if (settings_.onProgress)
      settings_.onProgress(what);
  }

  const KernelChoice* choiceOf(const std::vector<KernelChoice>& choices, const std::string& key) const {
    auto found = std::ranges::find(choices, key, &KernelChoice::key);
    return found == choices.end() ? nullptr : &*found;
  }

  /// What every kernel starts from. Those too short to be timed stay as the cost model has them, and nothing is said of what is known of them.
  void begin(const Schedules& start) {
    KernelTimes longest;
    std::set<std::string> isShort, isLarge;
    for (const Bindings& sizes : settings_.sizes) {
      base_->subject().setSizes(sizes);
      base_->subject().call();
      KernelTimes times = base_->time(3);
      isLarge.merge(largeOnes(times));
      for (const auto& [key, time] : times)
        longest[key] = std::max(longest[key], time);
    }
    for (const KernelChoice& choice : base_->choices())
      if (base_->launches(choice.key) > 0) {
        order_.push_back(choice.key);
        Search& search = searches_[choice.key] = {.choice = choice,
                                                  .model = choice.schedule,
                                                  .start = {},
                                                  .keepsWidth = base_->sharesWeights(choice.key),
                                                  .isSmall = !isLarge.contains(choice.key),
                                                  .tried = {}};
        search.tried.insert(choice.schedule);
        if (longest[choice.key] < kShortest) {
          search.choice.candidates.clear();
          isShort.insert(choice.key);
        }
      }
    if (start.empty())
      return;
    Contender known(model_, model_.compiled(start));
    for (const KernelChoice& choice : known.choices())
      if (auto found = searches_.find(choice.key); found != searches_.end() && choice.isTuned && !isShort.contains(choice.key)) {
        found->second.choice = choice;
        found->second.start = choice.schedule;
        found->second.tried.insert(choice.schedule);
        ++result_.known;
      }
  }

  Schedules best() const {
    Schedules schedules;
    for (const auto& [key, search] : searches_)
      if (search.choice.schedule != search.model)
        schedules[key] = search.choice.schedule;
    return schedules;
  }

  /// The program of these schedules: the last one, or the cost model's, if it is that.
  Contender& contenderOf(const Schedules& schedules) {
    if (schedules.empty())
      return *base_;
    if (!best_ || bestSchedules_ != schedules) {
      best_.reset(); // its memory, before another is made
      best_.emplace(model_, model_.compiled(schedules));
      bestSchedules_ = schedules;
    }
    return *best_;
  }

  /// False when there is nothing left to try.
  bool round() {
    Schedules now = best(), trial = now;
    std::vector<std::string> trying;
    for (const auto& [key, candidate] : nextCandidates(searches_)) {
      Search& search = searches_.at(key);
      search.tried.insert(candidate);
      trial[key] = candidate;
      if (candidate == search.model)
        trial.erase(key);
      trying.push_back(key);
    }
    if (trying.empty()) {
      result_.isWhole = true;
      return false;
    }
    tell(fmt::format("round {}: {} of {} kernels try a schedule, {} are tuned", ++result_.rounds, trying.size(), searches_.size(), now.size()));
    CompileResult compiled = model_.compiled(trial);
    std::vector<KernelChoice> choices = compiled.choices;
    Contender &base = contenderOf(now), contender(model_, std::move(compiled));
    Match match(base, contender, settings_);
    match.decide(trying, kMostTurns);
    for (const std::string& key : trying)
      if (const KernelChoice* choice = choiceOf(choices, key); choice && isWon(match.duels(), key))
        searches_.at(key).choice = *choice;
    return true;
  }

  /// The best program beside the cost model's. A kernel that is not better there goes back; the others are measured again without it.
  void confirm() {
    Schedules last = best();
    for (const std::string& key : order_) {
      const Search& search = searches_.at(key);
      result_.kernels.push_back({.key = key,
                                 .target = result_.target,
                                 .kind = search.choice.kind,
                                 .layer = search.choice.label,
                                 .launches = base_->launches(key),
                                 .sizes = sizesOf(key),
                                 .model = search.model,
                                 .tuned = search.model,
                                 .tried = static_cast<int>(search.tried.size()) - 1,
                                 .timings = {}});
    }
    best_.reset(); // their memory: two others are measured last
    base_.reset();
    while (!last.empty()) {
      tell(fmt::format("{} beside the cost model's", counted(std::ssize(last), "tuned kernel")));
      Duels duels = playLast(last);
      bool isWhole = havePlayed(duels, kLastTurns) && !settings_.isStopped();
      Schedules kept;
      for (const auto& [key, schedule] : last)
        if (isBetter(ratiosOf(duels, key)))
          kept[key] = schedule;
        else if (isWhole && schedule == searches_.at(key).start)
          std::ranges::find(result_.kernels, key, &TunedKernel::key)->isRefuted = true;
      if (kept.size() == last.size())
        return report(last, duels);
      last = std::move(kept);
    }
  }

  /// These schedules beside the cost model's, in several places of memory. A stop leaves the first.
  Duels playLast(const Schedules& schedules) {
    const CompileResult ofModel = model_.compiled({}), ofTuned = model_.compiled(schedules);
    std::optional<Contender> base, tuned;
    Match match(settings_);
    for (int place = 0; place < kPlaces && !(place > 0 && settings_.isStopped()); ++place) {
      base.reset();
      tuned.reset();
      auto makeBase = [&] { base.emplace(model_, ofModel); };
      if (place % 2 == 0)
        makeBase();
      tuned.emplace(model_, ofTuned);
      if (place % 2 == 1)
        makeBase();
      match.replace(*base, *tuned);
      match.play(kLastTurns / kPlaces);
    }
    return match.duels();
  }

  void report(const Schedules& schedules, const Duels& duels) {
    for (size_t i = 0; i < settings_.sizes.size(); ++i) {
      const Duel& duel = duels[i];
      for (TunedKernel& kernel : result_.kernels) {
        if (!duel.has(kernel.key))
          continue;
        double before = medianOf(duel.base.at(kernel.key)), after = medianOf(duel.trial.at(kernel.key));
        if (kernel.kind != "pack") { // those stand in the times of the kernels that they pack for
          result_.before += before;
          result_.after += after;
        }
        if (auto schedule = schedules.find(kernel.key); schedule != schedules.end()) {
          kernel.tuned = schedule->second;
          kernel.timings.push_back({settings_.sizes[i], before, after, duel.ratioOf(kernel.key)});
        }
      }
    }
  }

  std::string sizesOf(const std::string& key) const {
    std::string all;
    for (const Bindings& sizes : settings_.sizes)
      if (std::string text = base_->sizesOf(key, sizes); !text.empty())
        all += (all.empty() ? "" : "; ") + text;
    return all;
  }

  const TunedModel& model_;
  const TuneSettings& settings_;
  Clock::time_point begin_ = Clock::now();
  std::optional<Contender> base_, best_;
  Schedules bestSchedules_;
  std::vector<std::string> order_;
  std::map<std::string, Search> searches_;
  TuneResult result_;
};

} // namespace

double TunedKernel::ratio() const {
  std::vector<bench::Ratio> ratios;
  for (const KernelTiming& timing : timings)
    ratios.push_back(timing.ratio);
  return ratios.empty() ? 1 : meanOf(ratios);
}

TuneResult tune(const TunedModel& model, const Schedules& start, const TuneSettings& settings) { return Tuner(model, settings).run(start); }

} // namespace moec::cli
