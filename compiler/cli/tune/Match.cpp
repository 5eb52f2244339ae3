#include "compiler/cli/tune/Match.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace moec::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kTurnSeconds = 2e-3; // of a contender's calls in a turn, at least
constexpr int kResamples = 1000;
constexpr int kTurnsOfLosers = 3;
constexpr int kFirstTurns = 8, kMoreTurns = 4; // enough for an interval; what is open gets more
constexpr double kLost = 1.05;                 // a turn that is so much slower is lost
constexpr double kSlower = 1 / kWorthwhile;    // a kernel that seems so much slower at one of several sizes is not taken, whatever it gains at the others
constexpr int kFewestTurns = static_cast<int>(bench::kFewestTimes);

static_assert(kFirstTurns >= kFewestTurns);

/// At one of the sizes: then it is not taken.
bool isLost(const Duels& duels, const std::string& key) {
  return std::ranges::any_of(duels, [&](const Duel& duel) { return duel.has(key) && duel.isLost(key); });
}

} // namespace

double meanOf(const std::vector<bench::Ratio>& ratios) {
  double sum = 0;
  for (const bench::Ratio& ratio : ratios)
    sum += std::log(ratio.value);
  return ratios.empty() ? 1 : std::exp(sum / static_cast<double>(ratios.size()));
}

bool isBetter(const std::vector<bench::Ratio>& ratios) {
  return meanOf(ratios) < kWorthwhile &&
         std::ranges::any_of(
             ratios, [](const bench::Ratio& ratio) { return ratio.high < 1; }) &&
         std::ranges::none_of(ratios, [](const bench::Ratio& ratio) { return ratio.low > 1 || ratio.value > kSlower; });
}

bool isOpen(const std::vector<bench::Ratio>& ratios) {
  return meanOf(ratios) < kWorthwhile && std::ranges::none_of(ratios, [](const bench::Ratio& ratio) { return ratio.low > 1; }) && !isBetter(ratios);
}

//===--- Duel ---===//

void Duel::take(Contender& first, Contender& second, int64_t calls) {
  bool swapped = turns++ % 2 == 1;
  KernelTimes a, b;
  for (int i = 0; i < 2; ++i)
    (i == 0) == swapped ? void(b = second.time(calls)) : void(a = first.time(calls));
  for (auto [key, time] : a)
    base[key].push_back(std::max(time, 1e-9));
  for (auto [key, time] : b)
    trial[key].push_back(std::max(time, 1e-9));
}

bench::Ratio Duel::ratioOf(const std::string& key) const { return bench::ratioOfMedians(trial.at(key), base.at(key), bench::Pairing::Paired, kResamples); }

bool Duel::isLost(const std::string& key) const {
  const std::vector<double>&before = base.at(key), &after = trial.at(key);
  return std::ranges::equal(after, before, [](double a, double b) { return a > kLost * b; });
}

//===--- Duels ---===//

std::vector<bench::Ratio> ratiosOf(const Duels& duels, const std::string& key) {
  std::vector<bench::Ratio> ratios;
  for (const Duel& duel : duels)
    if (duel.has(key))
      ratios.push_back(duel.ratioOf(key));
  return ratios;
}

bool isWon(const Duels& duels, const std::string& key) { return !isLost(duels, key) && isBetter(ratiosOf(duels, key)); }

bool havePlayed(const Duels& duels, int turns) {
  return std::ranges::all_of(duels, [&](const Duel& duel) { return duel.turns >= turns; });
}

int turnsToDecide(const Duels& duels, const std::vector<std::string>& keys, int most) {
  if (!havePlayed(duels, kTurnsOfLosers))
    return kTurnsOfLosers;
  if (std::ranges::all_of(keys, [&](const std::string& key) { return isLost(duels, key); }))
    return 0;
  int played = std::ranges::min(duels, {}, &Duel::turns).turns;
  if (played < kFirstTurns)
    return kFirstTurns - played;
  bool isAnyOpen = std::ranges::any_of(keys, [&](const std::string& key) { return !isLost(duels, key) && isOpen(ratiosOf(duels, key)); });
  return isAnyOpen ? std::clamp(most - played, 0, kMoreTurns) : 0;
}

//===--- Match ---===//

void Match::replace(Contender& base, Contender& trial) {
  base_ = &base;
  trial_ = &trial;
  warmed_.reset();
}

void Match::play(int turns) {
  for (size_t i = 0; i < duels_.size(); ++i) {
    warm(i);
    for (int turn = 0; turn < turns; ++turn) {
      if (settings_.isStopped() && duels_[i].turns >= kFewestTurns)
        break;
      duels_[i].take(*base_, *trial_, calls_);
    }
  }
}

void Match::decide(const std::vector<std::string>& keys, int most) {
  while (int turns = turnsToDecide(duels_, keys, most)) {
    play(turns);
    if (settings_.isStopped() && havePlayed(duels_, kFewestTurns))
      return;
  }
}

/// Makes the inputs of a size, and learns how many calls a turn takes.
void Match::warm(size_t size) {
  if (warmed_ == size)
    return;
  warmed_ = size;
  for (Contender* contender : {base_, trial_}) {
    contender->subject().setSizes(settings_.sizes[size]);
    contender->subject().call();
  }
  auto begin = Clock::now();
  base_->subject().call();
  trial_->subject().call();
  double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  calls_ = std::clamp<int64_t>(std::llround(2 * kTurnSeconds / std::max(seconds, 1e-7)), 1, 1000);
}

} // namespace moec::cli
