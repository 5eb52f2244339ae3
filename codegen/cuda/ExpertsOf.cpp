// moe.kernel of kind `gate` that only takes routings apart: each moe.experts_of of one routing, an argument. A thread does one place of the list and the choice
// of the same number.
#include "codegen/cuda/ExpertsOf.h"

#include "codegen/analysis/GatePlan.h"
#include "codegen/cuda/Schedule.h"

namespace moec::codegen::cuda {

mlir::LogicalResult buildExpertsOf(KernelText& k, ir::KernelOp kernel) {
  auto threads = fieldOf(kernel, "threads", 32, 1024);
  if (failed(threads))
    return mlir::failure();
  auto parts = routingPartsOf(kernel);
  if (failed(parts))
    return mlir::failure();
  for (const auto& [i, taken] : llvm::enumerate(*parts)) {
    const auto& [routing, result, input, from, count] = taken;
    auto type = mlir::cast<ir::RoutingType>(routing.getType());
    Size rows = Size::parse(type.getTokens().getValue().str()) * Size(type.getChoices());
    std::string all = k.input(input), part = k.output(static_cast<unsigned>(i)), size = k.size(rows);
    Lines lines;
    lines.line("const long long row = blockIdx.x * {}ll + threadIdx.x;", *threads);
    lines.line("const int begin = {0}[{1}], kept = {0}[{2}] - begin;", all, from, from + count);
    lines.line("for (long long expert = row; expert <= {}; expert += gridDim.x * {}ll)", count, *threads);
    lines.line("  {}[expert] = {}[expert + {}] - begin;", part, all, from);
    lines.line("if (row >= {})", size);
    lines.line("  return;");
    lines.line("const int* rows = {} + {};", all, type.getExperts() + 1);
    lines.line("int* rowsOfPart = {} + {};", part, count + 1);
    lines.line("rowsOfPart[row] = row < kept ? rows[begin + row] : -1;");
    lines.line("const int slot = rows[{} + row] - begin;", size);
    lines.line("rowsOfPart[{} + row] = slot >= 0 && slot < kept ? slot : -1;", size);
    k.stage({.name = fmt::format("part{}", i),
             .summary = fmt::format("A thread does one of the {} places of experts {} .. {}.", rows.str(), from, from + count - 1),
             .blocks = Size::max(1, Size::ceilDiv(rows, *threads)),
             .threads = static_cast<int>(*threads),
             .operations = rows * Size(4),
             .body = lines.str()});
  }
  return mlir::success();
}

mlir::DictionaryAttr scheduleExpertsOf(ir::KernelOp kernel) { return toAttr(kernel.getContext(), {{"threads", 256}}); }

} // namespace moec::codegen::cuda
