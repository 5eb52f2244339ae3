// Owner of runtime/bench: bounds, intervals, rates. (Spreads and turns: StatisticsTest.)
#include "runtime/bench/Comparison.h"
#include "runtime/bench/FmaRate.h"
#include "runtime/bench/MachineLimits.h"
#include "runtime/bench/Roofline.h"
#include "runtime/core/Error.h"
#include "runtime/core/Philox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace moec::bench {
namespace {

using testing::HasSubstr;

const std::vector<double> kBase{10, 11, 12, 13, 14, 15, 16}; // median 13

std::vector<double> times(const std::vector<double>& base, double factor) {
  std::vector<double> result;
  for (double value : base)
    result.push_back(value * factor);
  return result;
}

// Every pair has the ratio 1.5, and so has every resample of pairs; rows by themselves reach from 10/16 to 16/10 of it.
TEST(Comparison, PairsKeepTogether) {
  Ratio pairs = ratioOfMedians(times(kBase, 1.5), kBase, Pairing::Paired);
  EXPECT_EQ(pairs.value, 1.5);
  EXPECT_EQ(pairs.low, 1.5);
  EXPECT_EQ(pairs.high, 1.5);
  EXPECT_TRUE(pairs.shows());
  Ratio rows = ratioOfMedians(times(kBase, 1.5), kBase, Pairing::Unpaired);
  EXPECT_EQ(rows.value, 1.5);
  EXPECT_LT(rows.low, 1.4);
  EXPECT_GT(rows.low, 1.5 * 10 / 16);
  EXPECT_GT(rows.high, 1.6);
  EXPECT_LT(rows.high, 1.5 * 16 / 10);
}

TEST(Comparison, TheSameRowShowsNoDifference) {
  Ratio same = ratioOfMedians(kBase, kBase, Pairing::Unpaired);
  EXPECT_EQ(same.value, 1);
  EXPECT_LT(same.low, 1);
  EXPECT_GT(same.high, 1);
  EXPECT_FALSE(same.shows());
  EXPECT_TRUE((Ratio{0.9, 0.85, 0.95}.shows()));
  EXPECT_FALSE((Ratio{0.9, 0.85, 1}.shows()));
}

/// The part of the medians of all 7^7 resamples of 7 values that is at most the value of rank k: 4 or more of 7 draws are among the k least.
double partAtMost(int k) {
  double p = k / 7.0, sum = 0;
  for (int j = 4; j <= 7; ++j)
    sum += std::tgamma(8) / (std::tgamma(j + 1) * std::tgamma(8 - j)) * std::pow(p, j) * std::pow(1 - p, 7 - j);
  return sum;
}

// The work is bounded, and how many resamples are left is told: 100 million draws, or 1000 resamples.
TEST(Comparison, OfManyTimesFewerResamples) {
  EXPECT_EQ(resamplesOf(12), 10'000);
  EXPECT_EQ(resamplesOf(10'000), 10'000);
  EXPECT_EQ(resamplesOf(20'000), 5000);
  EXPECT_EQ(resamplesOf(200'000), 1000);
  std::vector<double> many(20'000);
  for (size_t i = 0; i < many.size(); ++i)
    many[i] = 1 + 1e-6 * static_cast<double>(i * 7919 % many.size());
  Ratio ratio = ratioOfMedians(many, kBase, Pairing::Unpaired, 50);
  EXPECT_EQ(ratio.resamples, 50);
  EXPECT_DOUBLE_EQ(ratio.value, (1 + 1e-6 * 9999.5) / 13); // of an even row, the middle of the two in its middle
  EXPECT_EQ(ratioOfMedians(kBase, kBase, Pairing::Unpaired).resamples, 10'000);
  EXPECT_THAT(methodOf(Pairing::Unpaired, 1000, 10'000), HasSubstr("1000 to 10000 resamples (fewer of many repetitions), seed 0"));
}

// Against a base without spread the interval is the median's own, whose distribution is known exactly: its quantile of 2.5 % is the least rank that reaches it.
TEST(Comparison, TheIntervalIsTheBootstrapsOwn) {
  std::vector<double> flat(7, 1.0);
  int low = 1, high = 1;
  while (partAtMost(low) < 0.025)
    ++low;
  while (partAtMost(high) < 0.975)
    ++high;
  ASSERT_GT(std::min(std::abs(partAtMost(low) - 0.025), std::abs(partAtMost(low - 1) - 0.025)), 0.005); // 10 000 draws tell them apart
  Ratio ratio = ratioOfMedians(kBase, flat, Pairing::Unpaired);
  EXPECT_EQ(ratio.value, 13);
  EXPECT_EQ(ratio.low, kBase[static_cast<size_t>(low - 1)]);
  EXPECT_EQ(ratio.high, kBase[static_cast<size_t>(high - 1)]);
}

// Of rows from one distribution about one interval in twenty leaves 1 out; of 12 values a little more or less.
TEST(Comparison, ChanceAloneIsRarelyADifference) {
  constexpr int kExperiments = 300;
  int shown = 0;
  for (uint32_t experiment = 0; experiment < kExperiments; ++experiment) {
    auto row = [&](uint32_t stream) {
      std::vector<double> values(12);
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = std::exp(0.1 * normal(draw(experiment, stream, 0, i)));
      return values;
    };
    shown += ratioOfMedians(row(1), row(2), Pairing::Unpaired, 400).shows();
  }
  EXPECT_LT(shown, kExperiments / 12);
  EXPECT_GT(shown, 0);
}

TEST(Comparison, SaysWhatIsWrong) {
  auto message = [](const std::vector<double>& a, const std::vector<double>& b, Pairing pairing) {
    try {
      ratioOfMedians(a, b, pairing);
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::Data);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(message({1, 2, 3, 4, 5}, kBase, Pairing::Unpaired), HasSubstr("5 repetitions are too few for an interval of 95 %: at least 6"));
  EXPECT_THAT(message({1, 2, 3, 4, 5, 6}, kBase, Pairing::Paired), HasSubstr("6 times and 7 of the base are no pairs"));
  EXPECT_THAT(message({1, 2, 3, 4, 5, 0}, kBase, Pairing::Unpaired), HasSubstr("a time of 0 seconds"));
  EXPECT_THAT(methodOf(Pairing::Paired), HasSubstr("10000 resamples of pairs, seed 0"));
}

TEST(Roofline, OneBehindTheOther) {
  Peaks peaks{"chip", 100, 50, 10};
  EXPECT_EQ(boundOf({300, 0, 40}, peaks).inTurn, 7);   // 3 s of arithmetic, 4 s of memory
  EXPECT_EQ(boundOf({300, 250, 40}, peaks).inTurn, 9); // doubles take 5 s
}

TEST(MachineLimits, TheBestOfEachIsThePeak) {
  Peaks peaks = peaksOf("chip", {{100, 40, 7}, {90, 50, 6}, {80, 45, 9}});
  EXPECT_EQ(peaks.chip, "chip");
  EXPECT_EQ(peaks.flops32, 100);
  EXPECT_EQ(peaks.flops64, 50);
  EXPECT_EQ(peaks.bytes, 9);
}

// Twice the rounds are twice the operations, and the sum of what was read is checked where it is read. How fast is the machine's business; that vectors of
// floats hold twice as many as those of doubles is not.
TEST(MachineLimits, CountsWhatItDoes) {
  Workers workers(2);
  ReadRate reads(workers, int64_t{16} << 20);
  EXPECT_EQ(reads.bytes(), int64_t{16} << 20);
  for (int i = 0; i < 9; ++i) // more than once around
    EXPECT_GT(reads.measure(), 1e6);
  EXPECT_EQ(fmaRoundsFloat(2000), 2 * fmaRoundsFloat(1000));
  EXPECT_EQ(fmaRoundsFloat(1000), 2 * fmaRoundsDouble(1000));
  EXPECT_EQ(static_cast<int64_t>(fmaRoundsDouble(1)) % (2 * 12 * 2), 0); // multiply-adds of 12 sums of at least two doubles
}

// Two CPUs share one cache of 32 MiB, a third has its own of 16 MiB; what stands nearer to a core, and files of other things, do not count.
TEST(MachineLimits, LastCachesAreCountedOnce) {
  namespace fs = std::filesystem;
  fs::path root = fs::temp_directory_path() / ("moec-caches-" + std::to_string(getpid()));
  auto cache = [&](const char* cpu, const char* index, const char* level, const char* size, const char* cpus, const char* type) {
    fs::path folder = root / "sys/devices/system/cpu" / cpu / "cache" / index;
    fs::create_directories(folder);
    for (auto [name, text] : {std::pair("level", level), {"size", size}, {"shared_cpu_list", cpus}, {"type", type}})
      std::ofstream(folder / name) << text << "\n";
  };
  EXPECT_EQ(lastCacheBytes(root), 0);
  cache("cpu0", "index0", "1", "32K", "0", "Data");
  cache("cpu0", "index1", "1", "64K", "0", "Instruction");
  EXPECT_EQ(lastCacheBytes(root), 32 << 10);
  cache("cpu0", "index3", "3", "32768K", "0-1", "Unified");
  cache("cpu1", "index3", "3", "32768K", "0-1", "Unified");
  cache("cpu2", "index3", "3", "16384K", "2", "Unified");
  fs::create_directories(root / "sys/devices/system/cpu/cpufreq");
  EXPECT_EQ(lastCacheBytes(root), 48 << 20);
  cache("cpu3", "index3", "3", "99999999999999K", "3", "Unified");
  EXPECT_EQ(lastCacheBytes(root), int64_t{2} << 30);
  fs::remove_all(root);
}

TEST(MachineLimits, AMeasurementHasAllThree) {
  Workers workers(1);
  MachineLimits limits(workers);
  EXPECT_GE(limits.readBytes(), int64_t{256} << 20);
  LimitSample sample = limits.measure();
  EXPECT_GT(sample.flops32, 1e8);
  EXPECT_GT(sample.flops64, 1e8);
  EXPECT_GT(sample.bytes, 1e7);
}

} // namespace
} // namespace moec::bench
