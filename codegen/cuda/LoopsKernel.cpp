// loops: every element of the results is computed from the arguments by itself, a thread each; neighbouring threads write neighbouring elements. Few results of
// long sums go another way (PartialSums.h).
#include "codegen/analysis/LoopsPlan.h"
#include "codegen/cuda/ElementText.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/PartialSums.h"
#include "codegen/cuda/Schedule.h"

namespace moec::codegen::cuda {

mlir::DictionaryAttr scheduleLoops(ir::KernelOp kernel, const CudaTarget&) { return toAttr(kernel.getContext(), {{"threads", 256}}); }

mlir::LogicalResult buildLoops(KernelText& k, ir::KernelOp kernel) {
  auto threads = fieldOf(kernel, "threads", 32, 1024);
  if (mlir::failed(threads))
    return mlir::failure();
  auto plan = LoopsPlan::of(kernel);
  if (mlir::failed(plan))
    return mlir::failure();
  const ir::Sizes& sizes = plan->sizes;
  if (std::vector<ir::ReduceOp> sums = longSumsOf(kernel); !sums.empty()) {
    buildPartialSums(k, sums);
    return mlir::success();
  }

  Size elements = ir::product(sizes);
  Lines lines;
  lines.line("const long long element = blockIdx.x * {}ll + threadIdx.x;", *threads);
  lines.line("if (element >= {})", k.size(elements));
  lines.line("  return;");
  Coordinates at = printCoordinates(k, lines, "element", sizes, "at");
  ElementText texts(k, lines);
  for (auto [i, result] : llvm::enumerate(yieldOf(kernel)->getOperands()))
    lines.add(storeText(dtypeOf(result), k.output(static_cast<unsigned>(i)), "element", texts.element(result, at)));
  k.stage({.name = "loops",
           .summary = fmt::format("A thread computes one element of {}.", ir::describe(sizes)),
           .blocks = Size::ceilDiv(elements, *threads),
           .threads = static_cast<int>(*threads),
           .operations = LoopsPlan::operations(kernel, elementCost),
           .body = lines.str()});
  return mlir::success();
}

} // namespace moec::codegen::cuda
