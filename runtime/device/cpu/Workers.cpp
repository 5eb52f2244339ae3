#include "runtime/device/cpu/Workers.h"

#include "runtime/core/Error.h"
#include "runtime/device/cpu/CpuCount.h"

#include <pthreadpool.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <fmt/format.h>
#include <vector>

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

// pthreadpool is not built with the thread sanitizer, which so cannot see that what comes before a run happens before its calls, and those before what
// comes behind it.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MOEC_TELL_SANITIZER 1
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif
#endif
#if MOEC_TELL_SANITIZER
void happensBefore(void* event) { __tsan_release(event); }
void happensAfter(void* event) { __tsan_acquire(event); }
#else
void happensBefore(void*) {}
void happensAfter(void*) {}
#endif

} // namespace

Workers::Workers(int threads) : count_(threads == 0 ? usableCpus() : threads) {
  if (count_ < 1 || count_ > kMaxThreads)
    throw Error(Fault::Usage, fmt::format("{} threads: expected 1 to {}, or 0 for as many as this process may use", threads, kMaxThreads));
  if (count_ == 1)
    return;
  own_ = pthreadpool_create(static_cast<size_t>(count_));
  if (!own_)
    throw Error(Fault::System, fmt::format("cannot start {} threads", count_));
}

Workers::Workers(std::shared_ptr<ThreadPool> host) : count_(host->concurrency()), host_(std::move(host)) {
  if (count_ < 1 || count_ > kMaxThreads)
    throw Error(Fault::Usage, fmt::format("the host's thread pool has a concurrency of {}: expected 1 to {}", count_, kMaxThreads));
}

Workers::~Workers() {
  if (own_)
    pthreadpool_destroy(own_);
}

void Workers::runInline(int64_t items, const Work& work) {
  DefaultFloats floats;
  work(0, 0, items);
}

/// The items of one run. A worker takes block after block until there is none: who comes late, or alone, changes nothing but the time.
struct Workers::Task {
  const Work& work;
  int64_t items, block;
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error{};

  void asWorker(int64_t worker) noexcept {
    DefaultFloats floats;
    try {
      while (true) {
        int64_t begin = next.fetch_add(block, std::memory_order_relaxed);
        if (begin >= items)
          return;
        work(static_cast<int>(worker), begin, std::min(begin + block, items));
      }
    } catch (...) {
      if (!failed.exchange(true))
        error = std::current_exception();
      next.store(items, std::memory_order_relaxed);
    }
  }
};

void Workers::run(int64_t items, const Work& work) {
  if (count_ == 1 || items <= 1) {
    runInline(items, work);
    return;
  }
  // About eight blocks a worker: the last to finish is late by an eighth of its share.
  int64_t workers = std::min<int64_t>(count_, items);
  Task task{work, items, std::max<int64_t>(1, items / (workers * 8))};
  // One index a worker: an index belongs to one thread at a time, so scratch by worker is never shared.
  if (host_) {
    std::vector<std::atomic<bool>> begun(static_cast<size_t>(workers));
    std::atomic<int64_t> ended{0}, wrong{0};
    host_->parallelFor(workers, [&](int64_t index) {
      if (index < 0 || index >= workers || begun[static_cast<size_t>(index)].exchange(true)) {
        ++wrong;
        return;
      }
      task.asWorker(index);
      ++ended;
    });
    if (ended != workers || wrong != 0)
      throw Error(Fault::Usage, fmt::format("the host's thread pool was given {} calls to make: {} were made when it returned, and {} that were not asked for",
                                            workers, ended.load(), wrong.load()));
  } else {
    auto slot = [](void* context, size_t worker) {
      happensAfter(context);
      static_cast<Task*>(context)->asWorker(static_cast<int64_t>(worker));
      happensBefore(context);
    };
    happensBefore(&task);
    pthreadpool_parallelize_1d(own_, slot, &task, static_cast<size_t>(workers), 0);
    happensAfter(&task);
  }
  if (task.failed)
    std::rethrow_exception(task.error);
}

} // namespace moec
