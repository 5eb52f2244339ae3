#include "compiler/passes/BufferTable.h"
#include "compiler/passes/Passes.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// A kernel that no earlier one equals, and what emitting it gave. Its result depends on nothing else, so the order of work does not matter.
struct Job {
  KernelOp kernel;
  FailureOr<codegen::KernelImage> image = failure();
  std::exception_ptr thrown;
};

void emitAll(std::vector<Job>& jobs, codegen::KernelEmitter& emitter) {
  std::atomic<size_t> next = 0;
  auto work = [&] {
    for (size_t i; (i = next++) < jobs.size();)
      try {
        jobs[i].image = emitter.emit(jobs[i].kernel);
      } catch (...) {
        jobs[i].thrown = std::current_exception();
      }
  };
  size_t helpers = std::min<size_t>(std::max(1u, std::thread::hardware_concurrency()), jobs.size());
  std::vector<std::thread> threads;
  for (size_t i = 1; i < helpers; ++i)
    threads.emplace_back(work);
  work();
  for (std::thread& thread : threads)
    thread.join();
}

} // namespace

LogicalResult emitKernels(Compilation& compilation, codegen::KernelEmitter& emitter, int& compiled, int& reused) {
  std::vector<Job> jobs;
  std::map<std::string, size_t> byKey;
  std::vector<std::pair<KernelOp, size_t>> kernels;
  compilation.module->walk([&](KernelOp kernel) {
    auto [place, isNew] = byKey.try_emplace(emitter.key(kernel), jobs.size());
    if (isNew)
      jobs.push_back({kernel, failure(), nullptr});
    else
      ++reused;
    kernels.emplace_back(kernel, place->second);
  });
  emitAll(jobs, emitter);
  for (Job& job : jobs) {
    if (job.thrown)
      std::rethrow_exception(job.thrown);
    if (failed(job.image))
      return failure();
    ++compiled;
  }
  for (auto& [kernel, job] : kernels)
    kernel->setAttr(symbolName, StringAttr::get(kernel.getContext(), jobs[job].image->symbol));
  for (Job& job : jobs) {
    std::string symbol = job.image->symbol;
    compilation.images[symbol] = std::move(*job.image);
  }
  return success();
}

} // namespace moec::compiler
