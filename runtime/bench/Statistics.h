#pragma once
// Times of contestants that are run by turns, and what is said of them.

#include <functional>
#include <string>
#include <vector>

namespace moec::bench {

/// The median and the middle half: a quarter of the values is below `low`, a quarter above `high`. Between two values,
/// in proportion.
struct Spread {
  double median = 0, low = 0, high = 0;

  /// Half of what the middle half spans: how far a value is off, as a rule.
  double half() const { return (high - low) / 2; }
};
Spread spreadOf(std::vector<double> values);
/// What this part of the values is below, of values in order; between two of them in proportion. Zero of none.
double quantileOf(const std::vector<double>& ordered, double part);

/// Something that is timed. `once` runs it and returns its time in any unit, the same for all.
struct Contestant {
  std::string name;
  std::function<double()> once;
};

/// The times of each, `repetitions` of them after one that does not count. By turns, so that what the machine does
/// meanwhile meets all alike; each repetition begins with the next contestant.
std::vector<std::vector<double>> runByTurns(const std::vector<Contestant>& contestants, int repetitions);

/// times / base, repetition by repetition.
Spread ratioOf(const std::vector<double>& times, const std::vector<double>& base);

} // namespace moec::bench
