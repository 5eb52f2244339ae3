#pragma once
// What a host program may bring along: its memory and its threads. Knows nothing of devices.

#include <cstddef>
#include <cstdint>
#include <functional>

namespace moec {

/// Memory of the host. Without functions: moec's own. What is taken may outlive the session (outputs do), so the context lives until the last tensor
/// has gone, and `release` may be called by whichever thread drops it.
struct Allocator {
  /// `bytes` > 0 bytes at a multiple of `alignment` (a power of two), of any contents; null when there is no more: the call that needed it then throws
  /// Error(System).
  void* (*allocate)(void* context, size_t bytes, size_t alignment) = nullptr;
  /// What allocate gave, with the same `bytes`. Does not throw.
  void (*release)(void* context, void* memory, size_t bytes) = nullptr;
  void* context = nullptr;
};

/// Threads of the host. Sessions that share a pool may call it at the same time. Results do not depend on it.
class ThreadPool {
public:
  virtual ~ThreadPool() = default;
  /// How many calls may run at once: at least 1. Asked for once, when a device is opened.
  virtual int concurrency() const = 0;
  /// Calls work(0) ... work(count - 1), each once, in any order, on any threads, the caller's among them or not; returns when all have returned.
  /// `work` does not throw, and waits for no other of the calls. 1 <= count <= concurrency().
  virtual void parallelFor(int64_t count, const std::function<void(int64_t index)>& work) = 0;
};

} // namespace moec
