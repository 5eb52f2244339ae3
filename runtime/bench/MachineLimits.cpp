#include "runtime/bench/MachineLimits.h"

#include "runtime/bench/FmaRate.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace moec::bench {
namespace {

constexpr int kPieces = 8; // of each worker, so that one that is late does not stand for all
constexpr double kPieceSeconds = 250e-6;

double secondsSince(std::chrono::steady_clock::time_point begin) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); }

} // namespace

Peaks peaksOf(const std::string& chip, const std::vector<LimitSample>& samples) {
  Peaks peaks{chip, 0, 0, 0};
  for (const LimitSample& sample : samples) {
    peaks.flops32 = std::max(peaks.flops32, sample.flops32);
    peaks.flops64 = std::max(peaks.flops64, sample.flops64);
    peaks.bytes = std::max(peaks.bytes, sample.bytes);
  }
  return peaks;
}

MachineLimits::MachineLimits(Workers& workers) : workers_(workers), reads_(workers) {
  for (double seconds = 0; seconds < kPieceSeconds; rounds_ *= 2) {
    auto begin = std::chrono::steady_clock::now();
    fmaRoundsFloat(rounds_);
    seconds = secondsSince(begin);
  }
}

double MachineLimits::rateOf(double (*rounds)(int64_t)) {
  int64_t pieces = int64_t{kPieces} * workers_.count();
  std::atomic<double> operations{0};
  auto begin = std::chrono::steady_clock::now();
  workers_.run(pieces, [&](int, int64_t piece, int64_t end) {
    for (; piece < end; ++piece)
      operations += rounds(rounds_);
  });
  return operations / secondsSince(begin);
}

LimitSample MachineLimits::measure() { return {rateOf(fmaRoundsFloat), rateOf(fmaRoundsDouble), reads_.measure()}; }

std::string cpuName() {
#if defined(__x86_64__)
  unsigned words[12] = {}, most = __get_cpuid_max(0x80000000u, nullptr);
  if (most < 0x80000004u)
    return {};
  for (unsigned leaf = 0; leaf < 3; ++leaf)
    __get_cpuid(0x80000002u + leaf, &words[4 * leaf], &words[4 * leaf + 1], &words[4 * leaf + 2], &words[4 * leaf + 3]);
  char text[sizeof(words) + 1] = {};
  std::memcpy(text, words, sizeof(words));
  std::string name = text;
  name.erase(0, name.find_first_not_of(' '));
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
#else
  return {};
#endif
}

} // namespace moec::bench
