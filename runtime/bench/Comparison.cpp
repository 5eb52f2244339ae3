#include "runtime/bench/Comparison.h"

#include "runtime/bench/Statistics.h"
#include "runtime/core/Error.h"
#include "runtime/core/Philox.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moec::bench {
namespace {

constexpr uint64_t kSeed = 0;

void check(const std::vector<double>& times) {
  if (times.size() < kFewestTimes)
    throw Error(Fault::Data, fmt::format("{} repetitions are too few for an interval of 95 %: at least {} are needed", times.size(), kFewestTimes));
  for (double time : times)
    if (!std::isfinite(time) || time <= 0)
      throw Error(Fault::Data, fmt::format("a time of {} seconds: expected a number above zero", time));
}

double medianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return quantileOf(values, 0.5);
}

/// Which of `count` values a resample takes at a place; uniform up to 2^-53.
size_t drawnFrom(size_t count, uint32_t stream, uint32_t resample, size_t place) {
  return static_cast<size_t>(uniformDouble(draw(kSeed, stream, resample, place)) * static_cast<double>(count));
}

std::vector<double> resampled(const std::vector<double>& values, uint32_t stream, uint32_t resample) {
  std::vector<double> result(values.size());
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = values[drawnFrom(values.size(), stream, resample, i)];
  return result;
}

} // namespace

Ratio ratioOfMedians(const std::vector<double>& times, const std::vector<double>& base, Pairing pairing, int resamples) {
  check(times);
  check(base);
  if (pairing == Pairing::Paired && times.size() != base.size())
    throw Error(Fault::Data, fmt::format("{} times and {} of the base are no pairs", times.size(), base.size()));
  constexpr uint32_t kTimes = streamOf("bench.times"), kBase = streamOf("bench.base");
  std::vector<double> ratios(static_cast<size_t>(resamples));
  for (size_t i = 0; i < ratios.size(); ++i) {
    auto resample = static_cast<uint32_t>(i); // of pairs, both draw the same places
    ratios[i] = medianOf(resampled(times, kTimes, resample)) / medianOf(resampled(base, pairing == Pairing::Paired ? kTimes : kBase, resample));
  }
  std::sort(ratios.begin(), ratios.end());
  return {medianOf(times) / medianOf(base), quantileOf(ratios, 0.025), quantileOf(ratios, 0.975)};
}

std::string methodOf(Pairing pairing, int resamples) {
  return fmt::format("ratio of medians; 95 % by a percentile bootstrap of {} resamples{}, seed {}", resamples, pairing == Pairing::Paired ? " of pairs" : "",
                     kSeed);
}

} // namespace moec::bench
