#pragma once
// Hosts that bring their own memory and threads, for tests.

#include "runtime/device/Host.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace moec::test {

/// Memory full of NaN that knows what is taken. Call number `failAt` (from 0) gets none.
class WatchedMemory {
public:
  explicit WatchedMemory(int64_t failAt = -1) : failAt_(failAt) {}

  Allocator allocator() {
    return {[](void* self, size_t bytes, size_t alignment) { return static_cast<WatchedMemory*>(self)->take(bytes, alignment); },
            [](void* self, void* memory, size_t bytes) { static_cast<WatchedMemory*>(self)->give(memory, bytes); }, this};
  }
  int64_t calls() const { return calls_; }
  size_t live() const { return taken_.size(); }
  int64_t wrongReleases() const { return wrong_; }

private:
  void* take(size_t bytes, size_t alignment) {
    std::lock_guard lock(mutex_);
    if (calls_++ == failAt_)
      return nullptr;
    void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    std::memset(memory, 0xFF, bytes);
    taken_[memory] = bytes;
    return memory;
  }
  void give(void* memory, size_t bytes) {
    std::lock_guard lock(mutex_);
    auto found = taken_.find(memory);
    if (found == taken_.end() || found->second != bytes) {
      ++wrong_;
      return;
    }
    std::memset(memory, 0xFF, bytes);
    taken_.erase(found);
    std::free(memory);
  }

  int64_t failAt_, calls_ = 0, wrong_ = 0;
  std::map<void*, size_t> taken_;
  std::mutex mutex_;
};

/// All calls on the calling thread, the last first.
class ReversePool : public ThreadPool {
public:
  explicit ReversePool(int concurrency) : concurrency_(concurrency) {}
  int concurrency() const override { return concurrency_; }
  void parallelFor(int64_t count, const std::function<void(int64_t)>& work) override {
    ++runs;
    for (int64_t i = count; i-- > 0;)
      work(i);
  }
  std::atomic<int64_t> runs{0};

private:
  int concurrency_;
};

/// Each call on a thread of its own.
class StartingPool : public ThreadPool {
public:
  explicit StartingPool(int concurrency) : concurrency_(concurrency) {}
  int concurrency() const override { return concurrency_; }
  void parallelFor(int64_t count, const std::function<void(int64_t)>& work) override {
    std::vector<std::thread> threads;
    for (int64_t i = 0; i < count; ++i)
      threads.emplace_back([&work, i] { work(i); });
    for (std::thread& thread : threads)
      thread.join();
  }

private:
  int concurrency_;
};

} // namespace moec::test
