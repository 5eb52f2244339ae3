#pragma once
// How many bytes a second the threads of a run read together from memory that no cache holds: the limit of what streams through its operands. Knows no model.

#include "runtime/device/cpu/Workers.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

namespace moec::bench {

class ReadRate {
public:
  /// Takes `bytes` of memory, and writes them once; 0: bytesBeyondCaches(). Error(System) when there is no such memory.
  explicit ReadRate(Workers& workers, int64_t bytes = 0);

  /// Reads the next quarter of the memory with all workers: bytes a second. What a quarter left in a cache is pushed out by the other three.
  double measure();
  int64_t bytes() const { return static_cast<int64_t>(words_ * sizeof(uint64_t)); }

private:
  struct Free {
    void operator()(uint64_t* words) const;
  };
  Workers& workers_;
  size_t words_ = 0, next_ = 0; // the memory in all, and where the next quarter begins
  std::unique_ptr<uint64_t[], Free> memory_;
};

/// Four times the last caches of all CPUs together: from 256 MiB to 2 GiB.
int64_t bytesBeyondCaches();
/// The last caches of all CPUs, each once, as Linux tells of them; 0 where it tells nothing. `root` stands for "/" in tests.
int64_t lastCacheBytes(const std::filesystem::path& root = "/");

} // namespace moec::bench
