#include "compiler/KernelQueue.h"

#include "runtime/core/Error.h"

#include <algorithm>
#include <system_error>

namespace moec::compiler {

namespace {

/// Diagnostics of this thread go to the job: those of other kernels of the context come from other threads.
mlir::FailureOr<codegen::KernelImage> emitImage(KernelJob& job) {
  mlir::ScopedDiagnosticHandler handler(job.kernel.getContext(), [&job, self = std::this_thread::get_id()](mlir::Diagnostic& diagnostic) {
    if (std::this_thread::get_id() != self)
      return mlir::failure();
    job.said.push_back(std::move(diagnostic));
    return mlir::success();
  });
  return job.emitter->emit(job.kernel);
}

void emit(KernelJob& job, const std::string& key, const KernelCache* cache, Trace* trace) {
  codegen::KernelEmitter& emitter = *job.emitter;
  Trace::Span span(trace, job.kernel.getKind(), "kernel");
  if (span)
    span.add("layer", job.kernel.getLabel().str()).add("kernel", emitter.symbolOf(job.kernel)).add("target", emitter.target());
  if (cache) {
    auto [image, isBad] = cache->find(key);
    job.isBadEntry = isBad;
    span.add("cache", image ? "hit" : isBad ? "damaged" : "miss");
    if (image) {
      job.image = std::move(*image);
      job.isCached = true;
      return;
    }
  }
  job.image = emitImage(job);
  if (!cache || failed(job.image))
    return;
  try {
    cache->store(key, *job.image, emitter.target());
  } catch (const Error& error) {
    job.notStored = error.what();
  }
}

} // namespace

size_t KernelQueue::otherThreads() { return std::max(std::thread::hardware_concurrency(), 1U) - 1; }

KernelQueue::~KernelQueue() {
  {
    std::lock_guard lock(mutex_);
    open_.clear();
  }
  for (std::jthread& thread : threads_)
    thread.request_stop(); // and each is joined
}

bool KernelQueue::add(ir::KernelOp kernel, codegen::KernelEmitter& emitter, const std::string& key) {
  std::lock_guard lock(mutex_);
  auto [place, isNew] = jobs_.try_emplace(key);
  if (!isNew)
    return false;
  place->second.kernel = kernel;
  place->second.emitter = &emitter;
  open_.push_back(&*place);
  if (threads_.size() < mostThreads_)
    try {
      threads_.emplace_back([this](std::stop_token stop) { work(std::move(stop)); });
    } catch (const std::system_error&) {
      // The system gives no more threads: those there are do the work.
    }
  changed_.notify_one();
  return true;
}

KernelJob& KernelQueue::wait(const std::string& key) {
  std::unique_lock lock(mutex_);
  Entry& wanted = *jobs_.find(key);
  while (!wanted.second.isDone) {
    if (open_.empty()) {
      changed_.wait(lock);
      continue;
    }
    Entry& next = *open_.front();
    open_.pop_front();
    run(next.second, next.first, lock);
  }
  return wanted.second;
}

void KernelQueue::work(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !open_.empty(); })) {
    Entry& next = *open_.front();
    open_.pop_front();
    run(next.second, next.first, lock);
  }
}

void KernelQueue::run(KernelJob& job, const std::string& key, std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  try {
    emit(job, key, cache_, trace_);
  } catch (...) {
    job.thrown = std::current_exception();
  }
  lock.lock();
  job.isDone = true;
  changed_.notify_all();
}

} // namespace moec::compiler
