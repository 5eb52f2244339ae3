#pragma once
// Whether two rows of times differ: the ratio of their medians, and how far chance alone may have moved it. Knows not what was timed.

#include <string>
#include <vector>

namespace moec::bench {

/// How two rows of times belong together.
enum class Pairing {
  Paired,  // the two of one place were taken one behind the other
  Unpaired // each row was taken by itself
};

struct Ratio {
  double value = 0;                                  // median of the times over the median of the base
  double low = 0, high = 0;                          // the interval of 95 %
  int resamples = 0;                                 // that the interval comes from
  bool shows() const { return low > 1 || high < 1; } // a difference: 1 lies outside
};

/// With fewer values than these, not even the interval from the least to the most holds a median with 95 %: 1 - 2 / 2^6 = 96.9 %.
inline constexpr size_t kFewestTimes = 6;

inline constexpr int kMostResamples = 10'000;

/// How many resamples of so many times, both rows together, are drawn: kMostResamples of up to 10 000 times, of more fewer, so that the work is bounded, down
/// to 1000.
int resamplesOf(size_t times);

/// The interval is a percentile bootstrap of draws of as many values, keyed by a fixed seed: the same times give the same interval. Of pairs, pairs are drawn.
/// At most `resamples` of them, and no more than resamplesOf(). Error(Data) for fewer than kFewestTimes, for pairs that do not come out even, and for times
/// that are not above zero.
Ratio ratioOfMedians(const std::vector<double>& times, const std::vector<double>& base, Pairing pairing, int resamples = kMostResamples);

/// The method's name, as it stands beside intervals of `fewest` to `most` resamples.
std::string methodOf(Pairing pairing, int fewest = kMostResamples, int most = kMostResamples);

} // namespace moec::bench
