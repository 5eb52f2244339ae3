#pragma once
// Two contenders by turns at several sizes, and what their times show of each kernel. Chooses no schedule.

#include "compiler/cli/tune/Tuner.h"

#include <optional>

namespace moec::cli {

constexpr double kWorthwhile = 0.98; // a gain that is smaller is not worth another kernel

/// The mean of ratios, geometric; 1 of none.
double meanOf(const std::vector<bench::Ratio>& ratios);
/// Better on the whole, shown at one of the sizes, and shown to be worse at none.
bool isBetter(const std::vector<bench::Ratio>& ratios);
/// Not shown, and not shown to be no better.
bool isOpen(const std::vector<bench::Ratio>& ratios);

/// Times of the two by turns at one size, kernel by kernel.
struct Duel {
  std::map<std::string, std::vector<double>> base, trial;
  int turns = 0;

  void take(Contender& first, Contender& second, int64_t calls);
  /// Kernels that pack weights are others where the width is another.
  bool has(const std::string& key) const { return base.contains(key) && trial.contains(key); }
  bench::Ratio ratioOf(const std::string& key) const;
  /// Whether the trial was slower in every turn, and by much.
  bool isLost(const std::string& key) const;
};

using Duels = std::vector<Duel>; // one of each size

/// Of each size; none of a kernel that one of the two programs has not.
std::vector<bench::Ratio> ratiosOf(const Duels& duels, const std::string& key);
/// Whether the turns show that the trial's schedule of a kernel is better.
bool isWon(const Duels& duels, const std::string& key);
/// Whether each size had so many turns: a stop leaves fewer.
bool havePlayed(const Duels& duels, int turns);
/// How many turns more each size needs until these kernels are decided, `most` in all: a few for those that lose all of them, enough for an interval for the
/// others, and more while one is open. 0: no more.
int turnsToDecide(const Duels& duels, const std::vector<std::string>& keys, int most);

class Match {
public:
  /// Without programs: replace() comes before play().
  explicit Match(const TuneSettings& settings) : settings_(settings), duels_(settings.sizes.size()) {}
  Match(Contender& base, Contender& trial, const TuneSettings& settings) : Match(settings) { replace(base, trial); }

  /// The same two programs in other memory from here on.
  void replace(Contender& base, Contender& trial);
  /// So many turns more at every size; fewer when somebody asks to stop, but never too few for an interval.
  void play(int turns);
  /// Until each of these kernels is decided, as turnsToDecide() has it, or somebody asks to stop.
  void decide(const std::vector<std::string>& keys, int most);

  const Duels& duels() const { return duels_; }

private:
  void warm(size_t size);

  Contender *base_ = nullptr, *trial_ = nullptr;
  const TuneSettings& settings_;
  Duels duels_;
  std::optional<size_t> warmed_; // the size of the last calls
  int64_t calls_ = 1;            // of a turn at this size
};

} // namespace moec::cli
