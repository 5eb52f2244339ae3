#pragma once
// Workers that share the items of a stage. Knows nothing of plans.

#include <cstdint>
#include <functional>
#include <memory>

struct pthreadpool;

namespace moec {

class ThreadPool {
public:
  /// The calling thread is one of the `threads`; 0: usableCpus().
  explicit ThreadPool(int threads);
  ~ThreadPool();

  int threads() const { return threads_; }

  /// work(worker, begin, end) for blocks that cover [0, items) once; the calls of one worker come one after another, worker < threads().
  /// Runs in the default floating-point environment (to nearest, denormals kept, nothing trapped), whatever the host has set.
  using Work = std::function<void(int worker, int64_t begin, int64_t end)>;
  void run(int64_t items, const Work& work);
  /// All items on the calling thread, as worker 0.
  static void runInline(int64_t items, const Work& work);

private:
  int threads_;
  pthreadpool* pool_ = nullptr; // none when there is one thread
};

} // namespace moec
