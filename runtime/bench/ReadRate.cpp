#include "runtime/bench/ReadRate.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <sys/mman.h>

namespace moec::bench {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kPieceWords = (size_t{256} << 10) / sizeof(uint64_t); // what a worker takes at once
constexpr int64_t kLeast = int64_t{256} << 20, kMost = int64_t{2} << 30;

/// With more sums than one, so that loads wait for memory alone.
uint64_t sumOf(const uint64_t* words, size_t count) {
  constexpr size_t kSums = 16;
  uint64_t sums[kSums] = {};
  for (size_t i = 0; i < count; i += kSums)
    for (size_t j = 0; j < kSums; ++j)
      sums[j] += words[i + j];
  uint64_t total = 0;
  for (uint64_t sum : sums)
    total += sum;
  return total;
}

} // namespace

int64_t lastCacheBytes(const std::filesystem::path& root) {
  std::map<int, std::map<std::string, int64_t>> caches; // level -> CPUs that share it -> bytes
  std::error_code code;
  for (const auto& cpu : std::filesystem::directory_iterator(root / "sys/devices/system/cpu", code))
    for (const auto& cache : std::filesystem::directory_iterator(cpu.path() / "cache", code)) {
      int level = 0;
      int64_t kibibytes = 0;
      std::string unit, cpus, type;
      std::ifstream(cache.path() / "level") >> level;
      std::ifstream(cache.path() / "size") >> kibibytes >> unit; // "32768K"
      std::ifstream(cache.path() / "shared_cpu_list") >> cpus;
      std::ifstream(cache.path() / "type") >> type;
      if (level > 0 && kibibytes > 0 && unit == "K" && type != "Instruction")
        caches[level][cpus] = std::min(kibibytes, kMost >> 10) << 10;
    }
  int64_t bytes = 0;
  if (!caches.empty())
    for (const auto& [cpus, size] : caches.rbegin()->second)
      bytes = std::min(bytes + size, kMost);
  return bytes;
}

int64_t bytesBeyondCaches() { return std::clamp(4 * lastCacheBytes(), kLeast, kMost); }

void ReadRate::Free::operator()(uint64_t* words) const { std::free(words); }

ReadRate::ReadRate(Workers& workers, int64_t bytes) : workers_(workers) {
  auto wanted = static_cast<size_t>(bytes > 0 ? bytes : bytesBeyondCaches());
  size_t rounded = (wanted + 4 * kHugePage - 1) / (4 * kHugePage) * (4 * kHugePage);
  memory_.reset(static_cast<uint64_t*>(std::aligned_alloc(kHugePage, rounded)));
  if (!memory_)
    throw Error(Fault::System, fmt::format("there is no memory to measure how fast it is read: {} MiB were asked for", rounded >> 20));
#if defined(MADV_HUGEPAGE)
  madvise(memory_.get(), rounded, MADV_HUGEPAGE); // a wish: with small pages the rate is lower, as it is for the kernels
#endif
  words_ = rounded / sizeof(uint64_t);
  workers_.run(static_cast<int64_t>(words_ / kPieceWords), [&](int, int64_t begin, int64_t end) {
    for (size_t i = static_cast<size_t>(begin) * kPieceWords; i < static_cast<size_t>(end) * kPieceWords; ++i)
      memory_[i] = i;
  });
}

double ReadRate::measure() {
  size_t quarter = words_ / 4, first = next_;
  next_ = (next_ + quarter) % (4 * quarter);
  std::atomic<uint64_t> total{0};
  auto begin = std::chrono::steady_clock::now();
  workers_.run(static_cast<int64_t>(quarter / kPieceWords), [&](int, int64_t piece, int64_t end) {
    total += sumOf(memory_.get() + first + static_cast<size_t>(piece) * kPieceWords, static_cast<size_t>(end - piece) * kPieceWords);
  });
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  // The sum of an arithmetic series, in 64 bits that wrap: every word was read, once.
  uint64_t words = quarter, expected = words * first + (words % 2 == 0 ? words / 2 * (words - 1) : (words - 1) / 2 * words);
  if (total != expected)
    throw Error(Fault::Internal, fmt::format("reading {} words of memory summed to {}, expected {}", quarter, total.load(), expected));
  return static_cast<double>(quarter * sizeof(uint64_t)) / seconds;
}

} // namespace moec::bench
