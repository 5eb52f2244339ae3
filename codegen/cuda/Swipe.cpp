// swipe: one block (skeletons/swipe.cuh).
#include "codegen/Limits.h"
#include "codegen/analysis/Operands.h"
#include "codegen/cuda/ElementText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/Schedule.h"

namespace moec::codegen::cuda {

/// Shared memory that a kernel declares by itself, which every GPU has; two numbers of each worker stand there.
static constexpr int64_t kSharedBytes = 48 * 1024, kMostWorkers = kSharedBytes / (2 * sizeof(int32_t));

mlir::LogicalResult buildSwipe(KernelText& k, ir::KernelOp kernel) {
  auto op = onlyOp<ir::SwipeOp>(kernel);
  auto threads = fieldOf(kernel, "threads", 32, 1024);
  if (failed(op) || failed(threads) || failed(inputOf(kernel, op->getIndices(), "the indices")))
    return mlir::failure();
  auto workers = static_cast<int64_t>(op->getWorkers());
  ir::Sizes sizes = ir::sizesOf(op->getIndices()); // (T, K)
  k.use("swipe.cuh");
  std::string accepted = k.addWorkspace(DType::I32, workers * workers);
  Lines lines;
  lines.line("swipe<{}, {}, {}, {}>({}, {}, (int){}, {});", static_cast<int64_t>(op->getExperts()), workers, *sizes[1].constant(), *threads, k.input(0),
             k.output(0), k.size(sizes[0]), accepted);
  k.stage({.name = "swipe",
           .summary = fmt::format("One block hands the rows of {} workers on.", workers),
           .blocks = 1,
           .threads = static_cast<int>(*threads),
           .operations = sizes[0] * sizes[1] * Size(16),
           .body = lines.str()});
  return mlir::success();
}

mlir::DictionaryAttr scheduleSwipe(ir::KernelOp kernel, const CudaTarget& target) {
  auto op = onlyOp<ir::SwipeOp>(kernel);
  if (failed(op))
    return {};
  if (auto workers = static_cast<int64_t>(op->getWorkers()); workers > kMostWorkers) {
    beyondTarget(kernel, target.name) << "it hands rows on among " << workers << " workers, and a block's shared memory holds " << kMostWorkers
                                      << "; fewer workers do, or a CPU target";
    return {};
  }
  return toAttr(kernel.getContext(), {{"threads", 256}});
}

} // namespace moec::codegen::cuda
