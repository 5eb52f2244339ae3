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

/// As quantileOf() a half, of values in any order, whose order it changes.
double medianOf(std::vector<double>& values) {
  auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1)
    return *middle;
  double below = *std::max_element(values.begin(), middle);
  return below + (*middle - below) / 2;
}

/// Which of `count` values a resample takes at a place; uniform up to 2^-53.
size_t drawnFrom(size_t count, uint32_t stream, uint32_t resample, size_t place) {
  return static_cast<size_t>(uniformDouble(draw(kSeed, stream, resample, place)) * static_cast<double>(count));
}

void drawPlaces(std::vector<size_t>& places, uint32_t stream, uint32_t resample) {
  for (size_t i = 0; i < places.size(); ++i)
    places[i] = drawnFrom(places.size(), stream, resample, i);
}

/// `drawn` is the room for the resample.
double medianAt(const std::vector<size_t>& places, const std::vector<double>& values, std::vector<double>& drawn) {
  for (size_t i = 0; i < places.size(); ++i)
    drawn[i] = values[places[i]];
  return medianOf(drawn);
}

} // namespace

int resamplesOf(size_t times) {
  constexpr size_t kDraws = 100'000'000, kFewestResamples = 1000; // about a second; what an interval of 95 % rests on at least
  return static_cast<int>(std::clamp<size_t>(kDraws / std::max<size_t>(times, 1), kFewestResamples, kMostResamples));
}

Ratio ratioOfMedians(const std::vector<double>& times, const std::vector<double>& base, Pairing pairing, int resamples) {
  check(times);
  check(base);
  if (pairing == Pairing::Paired && times.size() != base.size())
    throw Error(Fault::Data, fmt::format("{} times and {} of the base are no pairs", times.size(), base.size()));
  constexpr uint32_t kTimes = streamOf("bench.times"), kBase = streamOf("bench.base");
  std::vector<double> ratios(static_cast<size_t>(std::min(resamples, resamplesOf(times.size() + base.size()))));
  std::vector<double> drawnTimes = times, drawnBase = base;
  double value = medianOf(drawnTimes) / medianOf(drawnBase);
  std::vector<size_t> places(times.size()), placesOfBase(pairing == Pairing::Paired ? 0 : base.size());
  for (size_t i = 0; i < ratios.size(); ++i) {
    auto resample = static_cast<uint32_t>(i);
    drawPlaces(places, kTimes, resample);
    drawPlaces(placesOfBase, kBase, resample);
    ratios[i] = medianAt(places, times, drawnTimes) / medianAt(pairing == Pairing::Paired ? places : placesOfBase, base, drawnBase);
  }
  std::sort(ratios.begin(), ratios.end());
  return {value, quantileOf(ratios, 0.025), quantileOf(ratios, 0.975), static_cast<int>(ratios.size())};
}

std::string methodOf(Pairing pairing, int fewest, int most) {
  std::string count = fewest == most ? std::to_string(most) : fmt::format("{} to {}", fewest, most);
  return fmt::format("ratio of medians; 95 % by a percentile bootstrap of {} resamples{}{}, seed {}", count, pairing == Pairing::Paired ? " of pairs" : "",
                     fewest < kMostResamples ? " (fewer of many repetitions)" : "", kSeed);
}

} // namespace moec::bench
