#include "runtime/device/cpu/ThreadPool.h"

#include "runtime/core/Error.h"
#include "runtime/device/cpu/CpuCount.h"

#include <pthreadpool.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <fmt/format.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace moec {
namespace {

/// The default floating-point environment while it lives. Threads inherit the host's, which may flush denormals.
class DefaultFloats {
public:
#if defined(__x86_64__)
  DefaultFloats() : saved_(_mm_getcsr()) { _mm_setcsr(0x1F80); }
  ~DefaultFloats() { _mm_setcsr(saved_); }

private:
  unsigned saved_;
#endif
};

constexpr int kMaxThreads = 4096;

} // namespace

ThreadPool::ThreadPool(int threads) : threads_(threads == 0 ? usableCpus() : threads) {
  if (threads_ < 1 || threads_ > kMaxThreads)
    throw Error(Fault::Usage, fmt::format("{} threads: expected 1 to {}, or 0 for as many as this process may use", threads, kMaxThreads));
  if (threads_ == 1)
    return;
  pool_ = pthreadpool_create(static_cast<size_t>(threads_));
  if (!pool_)
    throw Error(Fault::System, fmt::format("cannot start {} threads", threads_));
}

ThreadPool::~ThreadPool() {
  if (pool_)
    pthreadpool_destroy(pool_);
}

void ThreadPool::runInline(int64_t items, const Work& work) {
  DefaultFloats floats;
  work(0, 0, items);
}

void ThreadPool::run(int64_t items, const Work& work) {
  if (!pool_ || items <= 1) {
    runInline(items, work);
    return;
  }
  struct Task {
    const Work& work;
    int64_t items, block;
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr error;
  };
  // About eight blocks a worker: the last to finish is late by an eighth of its share.
  int64_t workers = std::min<int64_t>(threads_, items);
  Task task{work, items, std::max<int64_t>(1, items / (workers * 8)), {}, {}, {}};
  auto slot = [](void* context, size_t worker) {
    Task& task = *static_cast<Task*>(context);
    DefaultFloats floats;
    try {
      while (true) {
        int64_t begin = task.next.fetch_add(task.block, std::memory_order_relaxed);
        if (begin >= task.items)
          return;
        task.work(static_cast<int>(worker), begin, std::min(begin + task.block, task.items));
      }
    } catch (...) {
      if (!task.failed.exchange(true))
        task.error = std::current_exception();
      task.next.store(task.items, std::memory_order_relaxed);
    }
  };
  // One index a worker slot: an index belongs to one thread at a time, so scratch by slot is never shared.
  pthreadpool_parallelize_1d(pool_, slot, &task, static_cast<size_t>(workers), 0);
  if (task.failed)
    std::rethrow_exception(task.error);
}

} // namespace moec
