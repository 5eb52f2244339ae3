#pragma once
// Workers that share the items of a stage, on moec's own threads or on a host's. Knows nothing of plans.

#include "runtime/device/Host.h"

#include <cstdint>
#include <functional>
#include <memory>

namespace moec {

class Crew;

class Workers {
public:
  /// The calling thread is one of the `threads`; 0: usableCpus().
  explicit Workers(int threads);
  /// On the host's threads: as many workers as its pool may run at once. Error(Usage) when that is no number of threads.
  explicit Workers(std::shared_ptr<ThreadPool> host);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int count() const { return count_; }

  /// When a worker that is done takes items of another's share: at once; or from one who is late, which needs half as long again as it did or is still at its
  /// first items. For items that write what they find again in the next run: another core's cache then has it, and wants it back from there each time.
  enum class Taking { AtOnce, FromTheLate };

  /// work(worker, begin, end) for blocks that cover [0, items) once; the calls of one worker come one after another, worker < count().
  /// Runs in the default floating-point environment (to nearest, denormals kept, nothing trapped), whatever the host has set.
  /// What one call throws is thrown here when all have ended. Error(Usage) when a host's pool does not keep its promise.
  using Work = std::function<void(int worker, int64_t begin, int64_t end)>;
  void run(int64_t items, const Work& work, Taking taking = Taking::AtOnce);
  /// All items on the calling thread, as worker 0.
  static void runInline(int64_t items, const Work& work);

private:
  int count_;
  std::unique_ptr<Crew> own_; // neither of the two when there is one worker of moec's own
  std::shared_ptr<ThreadPool> host_;
};

} // namespace moec
