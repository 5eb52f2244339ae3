// loops: every element of the results is computed from the arguments by itself, a thread each; neighbouring threads write neighbouring elements. Few results of
// long sums go another way (PartialSums.h).
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
  mlir::Block& body = kernel.getBody().front();
  mlir::OperandRange results = body.getTerminator()->getOperands();
  ir::Sizes sizes = results.empty() ? ir::Sizes{} : ir::sizesOf(results.front());
  for (mlir::Value result : results)
    if (!(ir::sizesOf(result) == sizes))
      return kernel.emitError() << "internal: a kernel of loops gives results of two shapes, " << ir::describe(sizes) << " and "
                                << ir::describe(ir::sizesOf(result));
  Size operations = 0;
  for (mlir::Operation& op : body.without_terminator()) {
    if (!ElementText::holds(&op))
      return kernel.emitError() << "internal: a kernel of loops cannot hold " << op.getName();
    operations = operations + ir::product(ir::sizesOf(op.getResult(0))) * Size(elementCost(&op));
  }
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
  for (auto [i, result] : llvm::enumerate(results))
    lines.add(storeText(dtypeOf(result), k.output(static_cast<unsigned>(i)), "element", texts.element(result, at)));
  k.stage({.name = "loops",
           .summary = fmt::format("A thread computes one element of {}.", ir::describe(sizes)),
           .blocks = Size::ceilDiv(elements, *threads),
           .threads = static_cast<int>(*threads),
           .operations = operations,
           .body = lines.str()});
  return mlir::success();
}

} // namespace moec::codegen::cuda
