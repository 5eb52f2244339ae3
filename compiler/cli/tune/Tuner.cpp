#include "compiler/cli/tune/Tuner.h"

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

constexpr double kTurnSeconds = 2e-3; // of a contender's calls in a turn, at least
constexpr int kFirstTurns = 8;        // enough for an interval; what looks better gets more
constexpr int kMostTurns = 24;
constexpr int kLastTurns = 32;       // beside the cost model, where all is decided
constexpr double kWorthwhile = 0.98; // a gain that is smaller is not worth another kernel
constexpr double kShortest = 1e-6;   // seconds of a kernel in a call; below them the clock is what is measured
constexpr double kLargest = 1.1;     // a kernel that is so much slower at one of several sizes is not taken, whatever it gains at the others
constexpr int kResamples = 1000;

/// Times of two contenders by turns, kernel by kernel.
struct Duel {
  std::map<std::string, std::vector<double>> base, trial;
  int turns = 0;

  void take(Contender& first, Contender& second, int64_t calls) {
    bool swapped = turns++ % 2 == 1;
    KernelTimes a, b;
    for (int i = 0; i < 2; ++i)
      (i == 0) == swapped ? void(b = second.time(calls)) : void(a = first.time(calls));
    for (auto [key, time] : a)
      base[key].push_back(std::max(time, 1e-9));
    for (auto [key, time] : b)
      trial[key].push_back(std::max(time, 1e-9));
  }

  /// Kernels that pack weights are others where the width is another.
  bool has(const std::string& key) const { return base.contains(key) && trial.contains(key); }
  bench::Ratio ratioOf(const std::string& key) const { return bench::ratioOfMedians(trial.at(key), base.at(key), bench::Pairing::Paired, kResamples); }
};

/// One of them by several sizes.
class Match {
public:
  Match(Contender& base, Contender& trial, const TuneSettings& settings) : base_(base), trial_(trial), settings_(settings), duels_(settings.sizes.size()) {}

  /// So many turns more at every size; fewer when somebody asks to stop, but never too few for an interval.
  void play(int turns) {
    for (size_t i = 0; i < duels_.size(); ++i) {
      int64_t calls = warm(i);
      for (int turn = 0; turn < turns; ++turn) {
        if (settings_.isStopped() && duels_[i].turns >= static_cast<int>(bench::kFewestTimes))
          break;
        duels_[i].take(base_, trial_, calls);
      }
    }
  }

  /// Of each size; none of a kernel that one of the two programs has not.
  std::vector<bench::Ratio> ratiosOf(const std::string& key) const {
    std::vector<bench::Ratio> ratios;
    for (const Duel& duel : duels_)
      if (duel.has(key))
        ratios.push_back(duel.ratioOf(key));
    return ratios;
  }
  const Duel& duel(size_t size) const { return duels_[size]; }
  /// Whether each size had so many turns: a stop leaves fewer.
  bool hasPlayed(int turns) const {
    return std::ranges::all_of(duels_, [&](const Duel& duel) { return duel.turns >= turns; });
  }

private:
  int64_t warm(size_t size) {
    for (Contender* contender : {&base_, &trial_}) {
      contender->subject().setSizes(settings_.sizes[size]);
      contender->subject().call();
    }
    auto begin = Clock::now();
    base_.subject().call();
    trial_.subject().call();
    return std::clamp<int64_t>(std::llround(2 * kTurnSeconds / std::max(secondsSince(begin), 1e-7)), 1, 1000);
  }

  Contender &base_, &trial_;
  const TuneSettings& settings_;
  std::vector<Duel> duels_;
};

double meanOf(const std::vector<bench::Ratio>& ratios) {
  double sum = 0;
  for (const bench::Ratio& ratio : ratios)
    sum += std::log(ratio.value);
  return ratios.empty() ? 1 : std::exp(sum / static_cast<double>(ratios.size()));
}

/// Better on the whole, shown at one of the sizes, and shown to be worse at none.
bool isBetter(const std::vector<bench::Ratio>& ratios) {
  return meanOf(ratios) < kWorthwhile &&
         std::ranges::any_of(
             ratios, [](const bench::Ratio& ratio) { return ratio.high < 1; }) &&
         std::ranges::none_of(ratios, [](const bench::Ratio& ratio) { return ratio.low > 1 || ratio.value > kLargest; });
}

/// Not shown, and not shown to be no better.
bool isOpen(const std::vector<bench::Ratio>& ratios) {
  return meanOf(ratios) < kWorthwhile && std::ranges::none_of(ratios, [](const bench::Ratio& ratio) { return ratio.low > 1; }) && !isBetter(ratios);
}

int64_t widthOf(const KernelSchedule& schedule) {
  auto nr = schedule.find("nr");
  return nr == schedule.end() ? 0 : nr->second;
}

double medianOf(std::vector<double> times) { return bench::spreadOf(std::move(times)).median; }

/// A kernel while it is searched for.
struct Search {
  KernelChoice choice; // as the best program has it
  KernelSchedule model;
  std::optional<KernelSchedule> start; // known from before, where it is not the cost model's
  bool keepsWidth = false;
  std::set<KernelSchedule> tried;

  std::optional<KernelSchedule> next() const {
    for (const KernelSchedule& candidate : choice.candidates)
      if (!tried.contains(candidate) && !(keepsWidth && widthOf(candidate) != widthOf(choice.schedule)))
        return candidate;
    return {};
  }
};

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
    std::set<std::string> isShort;
    for (const Bindings& sizes : settings_.sizes) {
      base_->subject().setSizes(sizes);
      base_->subject().call();
      for (auto [key, time] : base_->time(3))
        longest[key] = std::max(longest[key], time);
    }
    for (const KernelChoice& choice : base_->choices())
      if (base_->launches(choice.key) > 0) {
        order_.push_back(choice.key);
        Search& search =
            searches_[choice.key] = {.choice = choice, .model = choice.schedule, .start = {}, .keepsWidth = base_->sharesWeights(choice.key), .tried = {}};
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
    for (auto& [key, search] : searches_)
      if (auto candidate = search.next()) {
        search.tried.insert(*candidate);
        trial[key] = *candidate;
        if (*candidate == search.model)
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
    match.play(kFirstTurns);
    if (std::ranges::any_of(trying, [&](const std::string& key) { return isOpen(match.ratiosOf(key)); }))
      match.play(kMostTurns - kFirstTurns);
    for (const std::string& key : trying)
      if (const KernelChoice* choice = choiceOf(choices, key); choice && isBetter(match.ratiosOf(key)))
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
    while (!last.empty()) {
      tell(fmt::format("{} tuned kernels beside the cost model's", last.size()));
      Match match(*base_, contenderOf(last), settings_);
      match.play(kLastTurns);
      bool isWhole = match.hasPlayed(kLastTurns) && !settings_.isStopped();
      Schedules kept;
      for (const auto& [key, schedule] : last)
        if (isBetter(match.ratiosOf(key)))
          kept[key] = schedule;
        else if (isWhole && schedule == searches_.at(key).start)
          std::ranges::find(result_.kernels, key, &TunedKernel::key)->isRefuted = true;
      if (kept.size() == last.size())
        return report(last, match);
      last = std::move(kept);
    }
  }

  void report(const Schedules& schedules, const Match& match) {
    for (size_t i = 0; i < settings_.sizes.size(); ++i) {
      const Duel& duel = match.duel(i);
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
