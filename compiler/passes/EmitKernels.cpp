#include "compiler/KernelQueue.h"
#include "compiler/passes/BufferTable.h"
#include "compiler/passes/Passes.h"
#include "runtime/core/Error.h"

#include <optional>
#include <string>

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// What was thrown, in the order of the kernels: all errors as one, of the first one's fault; the first alone when it is no error of ours.
void throwAll(ArrayRef<KernelJob*> jobs) {
  std::optional<Fault> fault;
  std::string text;
  for (const KernelJob* job : jobs)
    try {
      if (job->thrown)
        std::rethrow_exception(job->thrown);
    } catch (const Error& error) {
      if (!fault)
        fault = error.fault();
      if (("\n" + text + "\n").find(std::string("\n") + error.what() + "\n") == std::string::npos) // NVRTC that is missing is so for every kernel
        text += (text.empty() ? "" : "\n") + std::string(error.what());
    }
  if (fault)
    throw Error(*fault, text);
}

/// What was said of kernels that are the module's own, in their order.
void tellAll(ArrayRef<KernelJob*> jobs, const KernelsOfModule& kernels) {
  for (auto [job, one] : llvm::zip(jobs, kernels))
    if (one.isNew)
      for (Diagnostic& diagnostic : job->said)
        one.kernel->getContext()->getDiagEngine().emit(std::move(diagnostic));
}

} // namespace

KernelsOfModule queueKernels(ModuleOp module, codegen::KernelEmitter& emitter, KernelQueue& queue) {
  KernelsOfModule kernels;
  module->walk([&](KernelOp kernel) {
    kernels.push_back({kernel, emitter.key(kernel)}); // all, before an emitter is at work
  });
  for (QueuedKernel& one : kernels)
    one.isNew = queue.add(one.kernel, emitter, one.key);
  return kernels;
}

LogicalResult emitKernels(Compilation& compilation, const KernelsOfModule& kernels, KernelQueue& queue, CompileResult& result) {
  SmallVector<KernelJob*> jobs;
  for (const auto& [kernel, key, isNew] : kernels)
    jobs.push_back(&queue.wait(key));
  throwAll(jobs);
  tellAll(jobs, kernels);
  for (auto [job, one] : llvm::zip(jobs, kernels)) {
    if (failed(job->image))
      return failure();
    if (!one.isNew) {
      ++result.kernelsReused;
      continue;
    }
    ++(job->isCached ? result.kernelsFromCache : result.kernelsCompiled);
    result.badCacheEntries += job->isBadEntry;
    if (result.cacheProblem.empty())
      result.cacheProblem = job->notStored;
  }
  for (auto [job, one] : llvm::zip(jobs, kernels)) {
    const codegen::KernelImage& image = *job->image;
    KernelOp kernel = one.kernel;
    kernel->setAttr(symbolName, StringAttr::get(kernel.getContext(), image.symbol));
    compilation.images.try_emplace(image.symbol, image);
  }
  return success();
}

} // namespace moec::compiler
