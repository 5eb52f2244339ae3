#include "runtime/device/cpu/Workers.h"

#include "runtime/core/Error.h"
#include "runtime/device/cpu/CpuCount.h"
#include "runtime/device/cpu/Crew.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <fmt/format.h>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
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
constexpr int64_t kBlocks = 8; // a worker: the last to finish is late by an eighth of its share

/// One worker's share of the items, of which the first ones are its own and it asks nobody for them. Of the rest it takes from the front, others from the back.
struct alignas(kApart) Share {
  std::atomic<int64_t> left{0}; // nobody has begun them
  int64_t own = 0, front = 0;   // the worker's alone
  std::atomic<int64_t> back{0};
  std::atomic<bool> goes{false}; // its worker has done its first items

  /// So many of them that only the caller works on, at most `most`; 0: there are none.
  int64_t claim(int64_t most) {
    int64_t seen = left.load(std::memory_order_relaxed), count;
    do
      count = std::min(most, seen);
    while (count > 0 && !left.compare_exchange_weak(seen, seen - count, std::memory_order_relaxed));
    return count;
  }
};

/// The items of one run. A worker's share of them is the same in every run of so many items, so that it finds in its caches what it left there in the runs
/// before: to fetch a line from another core's may take longer than from memory. When its own is done it takes the ends of the others': who comes late, or
/// alone, changes nothing but the time.
struct alignas(kApart) Task {
  using Clock = std::chrono::steady_clock;

  const Workers::Work work; // not a reference: it is read in one go with what stands behind it
  Workers::Taking taking;
  int64_t block;
  std::span<Share> shares;
  std::atomic<bool> failed{false};
  std::exception_ptr error{};

  Task(const Workers::Work& work, int64_t items, std::span<Share> shares, Workers::Taking taking) : work(work), taking(taking), shares(shares) {
    auto workers = static_cast<int64_t>(shares.size());
    block = std::max<int64_t>(1, items / (workers * kBlocks));
    int64_t each = items / workers, more = items % workers, first = 0;
    for (Share& share : shares) {
      int64_t all = each + (more-- > 0);
      share.own = std::min(block, all);
      share.left.store(all - share.own, std::memory_order_relaxed);
      share.front = first;
      share.back.store(first += all, std::memory_order_relaxed);
    }
  }

  /// Until all of a share is begun, or its worker, who is beyond its first items, is late: at any of them `until` then.
  static void awaitLate(const Share& share, Clock::time_point until) {
    while (share.left.load(std::memory_order_relaxed) > 0 && Clock::now() < until)
      std::this_thread::yield();
  }

  void asWorker(int64_t worker) noexcept {
    DefaultFloats floats;
    bool waits = taking == Workers::Taking::FromTheLate;
    Clock::time_point start = waits ? Clock::now() : Clock::time_point(), late;
    try {
      auto number = static_cast<size_t>(worker);
      auto call = [&](int64_t begin, int64_t count) { work(static_cast<int>(worker), begin, begin + count); };
      Share& own = shares[number];
      for (int64_t count = own.own; count > 0; count = own.claim(block)) {
        call(std::exchange(own.front, own.front + count), count);
        if (waits)
          own.goes.store(true, std::memory_order_relaxed);
      }
      auto takeFromOthers = [&](auto mayTake) {
        for (size_t i = 1; i < shares.size(); ++i)
          for (Share& other = shares[(number + i) % shares.size()]; mayTake(other);)
            if (int64_t count = other.claim(block))
              call(other.back.fetch_sub(count, std::memory_order_relaxed) - count, count);
            else
              break;
      };
      if (waits) {
        late = Clock::now();
        late += (late - start) / 2;
        takeFromOthers([](const Share& other) { return !other.goes.load(std::memory_order_relaxed); });
      }
      takeFromOthers([&](const Share& other) {
        if (waits)
          awaitLate(other, late);
        return true;
      });
    } catch (...) {
      if (!failed.exchange(true))
        error = std::current_exception();
      for (Share& share : shares)
        share.left.store(0, std::memory_order_relaxed);
    }
  }
};

} // namespace

Workers::Workers(int threads) : count_(threads == 0 ? usableCpus() : threads) {
  if (count_ < 1 || count_ > kMaxThreads)
    throw Error(Fault::Usage, fmt::format("{} threads: expected 1 to {}, or 0 for as many as this process may use", threads, kMaxThreads));
  if (count_ == 1)
    return;
  try {
    own_ = std::make_unique<Crew>(count_ - 1);
  } catch (const std::system_error& error) {
    throw Error(Fault::System, fmt::format("cannot start {} threads: {}", count_, error.what()));
  }
}

Workers::Workers(std::shared_ptr<ThreadPool> host) : count_(host->concurrency()), host_(std::move(host)) {
  if (count_ < 1 || count_ > kMaxThreads)
    throw Error(Fault::Usage, fmt::format("the host's thread pool has a concurrency of {}: expected 1 to {}", count_, kMaxThreads));
}

Workers::~Workers() = default;

void Workers::runInline(int64_t items, const Work& work) {
  DefaultFloats floats;
  work(0, 0, items);
}

void Workers::run(int64_t items, const Work& work, Taking taking) {
  if (count_ == 1 || items <= 1) {
    runInline(items, work);
    return;
  }
  int64_t workers = std::min<int64_t>(count_, items);
  std::vector<Share> shares(static_cast<size_t>(workers));
  Task task(work, items, shares, taking);
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
    own_->run(static_cast<int>(workers), [](void* context, int worker) noexcept { static_cast<Task*>(context)->asWorker(worker); }, &task);
  }
  if (task.failed)
    std::rethrow_exception(task.error);
}

} // namespace moec
