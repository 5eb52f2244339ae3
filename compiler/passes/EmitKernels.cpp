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
void throwAll(ArrayRef<const KernelJob*> jobs) {
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

} // namespace

KernelsOfModule queueKernels(ModuleOp module, codegen::KernelEmitter& emitter, KernelQueue& queue) {
  KernelsOfModule kernels;
  module->walk([&](KernelOp kernel) {
    std::string key = emitter.key(kernel);
    bool isNew = queue.add(kernel, emitter, key);
    kernels.push_back({kernel, std::move(key), isNew});
  });
  return kernels;
}

LogicalResult emitKernels(Compilation& compilation, const KernelsOfModule& kernels, KernelQueue& queue, CompileResult& result) {
  SmallVector<const KernelJob*> jobs;
  for (const auto& [kernel, key, isNew] : kernels)
    jobs.push_back(&queue.wait(key));
  throwAll(jobs);
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
