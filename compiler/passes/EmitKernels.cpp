#include "compiler/passes/BufferTable.h"
#include "compiler/passes/Passes.h"
#include "runtime/core/Error.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// A kernel that no earlier one equals, and its image. Its result depends on nothing else, so the order of work does not matter.
struct Job {
  KernelOp kernel;
  std::string key;
  FailureOr<codegen::KernelImage> image = failure();
  bool isCached = false, isBadEntry = false;
  std::string notStored = {}; // why
  std::exception_ptr thrown = {};
};

void work(Job& job, codegen::KernelEmitter& emitter, const KernelCache* cache, Trace* trace) {
  Trace::Span span(trace, job.kernel.getKind(), "kernel");
  if (span)
    span.add("layer", job.kernel.getLabel().str()).add("kernel", emitter.symbolOf(job.kernel)).add("target", emitter.target());
  if (cache) {
    auto [image, isBad] = cache->find(job.key);
    job.isBadEntry = isBad;
    span.add("cache", image ? "hit" : isBad ? "damaged" : "miss");
    if (image) {
      job.image = std::move(*image);
      job.isCached = true;
      return;
    }
  }
  job.image = emitter.emit(job.kernel);
  if (!cache || failed(job.image))
    return;
  try {
    cache->store(job.key, *job.image, emitter.target());
  } catch (const Error& error) {
    job.notStored = error.what();
  }
}

void workAll(std::vector<Job>& jobs, codegen::KernelEmitter& emitter, const KernelCache* cache, Trace* trace) {
  std::atomic<size_t> next = 0;
  auto loop = [&] {
    for (size_t i; (i = next++) < jobs.size();)
      try {
        work(jobs[i], emitter, cache, trace);
      } catch (...) {
        jobs[i].thrown = std::current_exception();
      }
  };
  size_t helpers = std::min<size_t>(std::max(1u, std::thread::hardware_concurrency()), jobs.size());
  std::vector<std::jthread> threads;
  try {
    for (size_t i = 1; i < helpers; ++i)
      threads.emplace_back(loop);
  } catch (const std::system_error&) {
    // The system gives no more threads: those there are do the work.
  }
  loop();
}

/// What was thrown, in the order of the kernels: all errors as one, of the first one's fault; the first alone when it is no error of ours.
void throwAll(const std::vector<Job>& jobs) {
  std::optional<Fault> fault;
  std::string text;
  for (const Job& job : jobs)
    try {
      if (job.thrown)
        std::rethrow_exception(job.thrown);
    } catch (const Error& error) {
      if (!fault)
        fault = error.fault();
      if (("\n" + text + "\n").find(std::string("\n") + error.what() + "\n") == std::string::npos) // NVRTC that is missing is so for every kernel
        text += (text.empty() ? "" : "\n") + std::string(error.what());
    }
  if (fault)
    throw Error(*fault, text);
}

} // namespace

LogicalResult emitKernels(Compilation& compilation, codegen::KernelEmitter& emitter, const KernelCache* cache, KernelImages& known, Trace* trace,
                          CompileResult& result) {
  std::vector<Job> jobs;
  std::set<std::string> asked;
  std::vector<std::pair<KernelOp, std::string>> kernels;
  compilation.module->walk([&](KernelOp kernel) {
    std::string key = emitter.key(kernel);
    if (known.contains(key) || !asked.insert(key).second)
      ++result.kernelsReused;
    else
      jobs.push_back({.kernel = kernel, .key = key});
    kernels.emplace_back(kernel, std::move(key));
  });
  workAll(jobs, emitter, cache, trace);
  throwAll(jobs);
  for (Job& job : jobs) {
    if (failed(job.image))
      return failure();
    ++(job.isCached ? result.kernelsFromCache : result.kernelsCompiled);
    result.badCacheEntries += job.isBadEntry;
    if (result.cacheProblem.empty())
      result.cacheProblem = job.notStored;
  }
  for (Job& job : jobs)
    known[job.key] = std::move(*job.image);
  for (auto& [kernel, key] : kernels) {
    const codegen::KernelImage& image = known.at(key);
    kernel->setAttr(symbolName, StringAttr::get(kernel.getContext(), image.symbol));
    compilation.images.try_emplace(image.symbol, image);
  }
  return success();
}

} // namespace moec::compiler
