#include "runtime/bench/MachineLimits.h"

#include "runtime/bench/FmaRate.h"

#include <algorithm>
#include <atomic>
#include <chrono>

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

} // namespace moec::bench
