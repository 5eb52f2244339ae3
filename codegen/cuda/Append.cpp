// moe.kernel of kind `append`: a thread copies elements of the new rows into each result's rows from the position on. Nothing else of the results is touched:
// they lie in the memory of the states that they were.
#include "codegen/analysis/CachedPlans.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/Schedule.h"

namespace moec::codegen::cuda {

mlir::DictionaryAttr scheduleAppend(ir::KernelOp kernel, const CudaTarget&) { return toAttr(kernel.getContext(), {{"threads", 256}, {"elements", 4}}); }

mlir::LogicalResult buildAppend(KernelText& k, ir::KernelOp kernel) {
  auto plan = AppendPlan::of(kernel);
  auto threads = fieldOf(kernel, "threads", 32, 1024), each = fieldOf(kernel, "elements", 1, 64);
  if (failed(plan) || failed(threads) || failed(each))
    return mlir::failure();
  k.allowInPlace();
  Size elements = plan->batch * plan->tokens * Size(plan->width);
  std::string tokens = k.size(plan->tokens);
  Lines lines;
  lines.line("const long long position = {}[0];", k.input(plan->position));
  lines.add("#pragma unroll 1");
  lines.open("for (int j = 0; j < {}; ++j)", *each);
  lines.line("const long long element = (blockIdx.x * {}ll + j) * {} + threadIdx.x;", *each, *threads);
  lines.line("if (element >= {})", k.size(elements));
  lines.line("  return;");
  lines.line("const long long row = element / {0}, column = element % {0};", plan->width);
  lines.line("const long long batch = row / {0}, token = row % {0};", tokens);
  lines.line("const long long to = (batch * {} + position + token) * {} + column;", plan->context, plan->width);
  for (auto [number, slice] : llvm::enumerate(plan->rows)) {
    std::string start = slice.start == Size(0) ? "" : " + " + k.size(slice.start);
    lines.line("{}[to] = {}[row * {}{} + column];", k.output(static_cast<unsigned>(number)), k.input(slice.input), k.size(slice.width), start);
  }
  lines.close();
  k.stage({.name = "append",
           .summary = fmt::format("A block copies {} elements of the new rows, of each of {} states.", *each * *threads, plan->rows.size()),
           .blocks = Size::ceilDiv(elements, *each * *threads),
           .threads = static_cast<int>(*threads),
           .operations = elements,
           .body = lines.str()});
  return mlir::success();
}

} // namespace moec::codegen::cuda
