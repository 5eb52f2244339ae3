// What this machine's multiply-add units and memory reach on some threads, and how near two of them are to each other, for the
// harness in Python: three functions of C.
#include "runtime/bench/FmaRate.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include <time.h>

namespace {

/// On the wall, or the time that the CPU gave the process.
double seconds(bool wall) {
  timespec now{};
  clock_gettime(wall ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Of all threads together: `work(thread)` gives what one did.
template <class Work> double rate(int threads, bool wall, Work work) {
  std::vector<double> done(static_cast<size_t>(threads));
  std::vector<std::thread> others;
  double start = seconds(wall);
  for (int i = 1; i < threads; ++i)
    others.emplace_back([&, i] { done[static_cast<size_t>(i)] = work(i); });
  done[0] = work(0);
  for (std::thread& other : others)
    other.join();
  double all = 0;
  for (double one : done)
    all += one;
  return all / (seconds(wall) - start);
}

/// Gives way where the other may be waiting for this very core.
void await(const std::atomic<int>& word, int value) {
  constexpr int kSpins = 10000;
  for (int spins = 0; word.load() != value; ++spins)
    if (spins > kSpins)
      std::this_thread::yield();
}

} // namespace

/// Operations a second; `doubles`: of f64.
extern "C" double moec_bench_fma_rate(int threads, int wall, int doubles) {
  return rate(threads, wall, [&](int) {
    double done = 0, until = seconds(wall) + 0.1;
    while (seconds(wall) < until)
      done += doubles ? moec::bench::fmaRoundsDouble(200000) : moec::bench::fmaRoundsFloat(200000);
    return done;
  });
}

/// Bytes a second, each thread reading a part of `bytes` at `memory` once, from front to back.
extern "C" double moec_bench_read_rate(int threads, int wall, const char* memory, size_t bytes) {
  size_t part = bytes / static_cast<size_t>(threads) / 64 * 64;
  return rate(threads, wall, [&](int thread) {
    const char* from = memory + static_cast<size_t>(thread) * part;
    uint64_t sums[8] = {};
    for (size_t i = 0; i < part; i += 64) {
      uint64_t words[8];
      std::memcpy(words, from + i, sizeof words);
      for (int w = 0; w < 8; ++w)
        sums[w] += words[w];
    }
    for (uint64_t& sum : sums)
      asm volatile("" : "+r"(sum));
    return static_cast<double>(part);
  });
}

/// Seconds on the wall that a word takes from one thread to another and back: the least of some tries, each of many turns. About 60 ns between neighbours, 300
/// between parts of a chip.
extern "C" double moec_bench_hand_over() {
  constexpr int kTries = 5, kTurns = 4000;
  alignas(128) std::atomic<int> word{0};
  std::thread other([&] {
    for (int turn = 0; turn < kTries * kTurns; ++turn) {
      await(word, 2 * turn + 1);
      word.store(2 * turn + 2);
    }
  });
  double least = 1;
  for (int turn = 0, i = 0; i < kTries; ++i) {
    double start = seconds(true);
    for (int end = turn + kTurns; turn < end; ++turn) {
      word.store(2 * turn + 1);
      await(word, 2 * turn + 2);
    }
    least = std::min(least, (seconds(true) - start) / kTurns);
  }
  other.join();
  return least;
}
