// swipe: one block (skeletons/swipe.cuh).
#include "codegen/analysis/Operands.h"
#include "codegen/cuda/ElementText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/Schedule.h"

namespace moec::codegen::cuda {

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
  lines.line("swipe<{}, {}, {}, {}>({}, {}, (int){}, {});", static_cast<int64_t>(op->getExperts()), workers, *sizes[1].constant(), *threads, k.input(0), k.output(0),
             k.size(sizes[0]), accepted);
  k.stage({.name = "swipe",
           .summary = fmt::format("One block hands the rows of {} workers on.", workers),
           .blocks = 1,
           .threads = static_cast<int>(*threads),
           .operations = sizes[0] * sizes[1] * Size(16),
           .body = lines.str()});
  return mlir::success();
}

mlir::DictionaryAttr scheduleSwipe(ir::KernelOp kernel, const CudaTarget&) { return toAttr(kernel.getContext(), {{"threads", 256}}); }

} // namespace moec::codegen::cuda
