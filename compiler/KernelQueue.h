#pragma once
// Kernels on their way to machine code, for all plans of one compilation: the machine's other threads emit them while the phases of the next plan run, and
// who waits for one helps. Equal kernels are emitted once. Knows no phase and no module; a kernel's bytes depend on nothing else, so the order is free, and
// what is said of a kernel is kept with it for who waits.

#include "compiler/KernelCache.h"
#include "runtime/core/Trace.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

namespace moec::compiler {

/// A kernel that no earlier one equals, and its image.
struct KernelJob {
  ir::KernelOp kernel;
  codegen::KernelEmitter* emitter = nullptr;
  mlir::FailureOr<codegen::KernelImage> image = mlir::failure(); // failure: `said` has why
  std::vector<mlir::Diagnostic> said = {};                       // diagnostics of the kernel's context, which has not seen them
  bool isCached = false, isBadEntry = false;
  std::string notStored = {}; // why
  std::exception_ptr thrown = {};
  bool isDone = false;
};

class KernelQueue {
public:
  /// `cache` and `trace` may be null. `mostThreads`: beside those that wait.
  KernelQueue(const KernelCache* cache, Trace* trace, size_t mostThreads = otherThreads()) : cache_(cache), trace_(trace), mostThreads_(mostThreads) {}
  /// What nobody has begun is left.
  ~KernelQueue();
  KernelQueue(const KernelQueue&) = delete;

  /// Emits a kernel in the background, which must not change before it is waited for; `key` is emitter.key(kernel). False when an equal one is there already.
  bool add(ir::KernelOp kernel, codegen::KernelEmitter& emitter, const std::string& key);
  /// The job of a key that was added, done: the queue touches it no more.
  KernelJob& wait(const std::string& key);

private:
  /// The machine's but for one.
  static size_t otherThreads();
  void work(std::stop_token stop);
  void run(KernelJob& job, const std::string& key, std::unique_lock<std::mutex>& lock);

  using Entry = std::map<std::string, KernelJob>::value_type;

  const KernelCache* cache_;
  Trace* trace_;
  size_t mostThreads_;
  std::mutex mutex_; // guards all below, but for jobs that are being done
  std::condition_variable_any changed_;
  std::map<std::string, KernelJob> jobs_; // by key
  std::deque<Entry*> open_;               // nobody has begun them
  std::vector<std::jthread> threads_;
};

} // namespace moec::compiler
