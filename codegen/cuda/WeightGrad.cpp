// weight_grad: the gradient of the experts' weights (E, N, K). A block owns a tile of one expert's matrix and walks the expert's rows: their dy and their
// values both lie transposed to the product (skeletons/transposed_product.cuh). An expert without rows gets zeros. Sums of the experts' rows, as the gradient
// of their bias, are blocks of the same launch.
#include "codegen/analysis/ProductPlans.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/ProductText.h"
#include "codegen/cuda/SumsOfRows.h"

namespace moec::codegen::cuda {

namespace {

// Prints the inside of the loops over a thread's sums.
mlir::LogicalResult printSums(KernelText& k, Lines& lines, const WeightGradPlan& plan, const ProductSchedule& schedule, llvm::ArrayRef<unsigned> results) {
  mlir::Value result = ir::GroupedWeightGradOp(plan.op).getResult();
  Coordinates at{"expert", "row", "column"};
  lines.add("#pragma unroll");
  lines.open("for (int m = 0; m < Tile::rows; ++m)");
  lines.line("const int row = row0 + Tile::rowOf(m);");
  if (std::string inside = guard(k, "row", plan.columns, schedule.tileM); !inside.empty())
    lines.line("if (!({})) continue;", inside);
  lines.add("#pragma unroll");
  lines.open("for (int n = 0; n < Tile::columns; ++n)");
  lines.line("const int column = column0 + Tile::columnOf(n);");
  if (std::string inside = guard(k, "column", plan.depth, schedule.tileN); !inside.empty())
    lines.line("if (!({})) continue;", inside);
  if (failed(printResults(k, lines, {result, at, "sums[m][n]", ""}, linearIndex(k, ir::sizesOf(result), at), results)))
    return mlir::failure();
  lines.close();
  lines.close();
  return mlir::success();
}

} // namespace

mlir::LogicalResult buildWeightGrad(KernelText& k, ir::KernelOp kernel) {
  auto plan = WeightGradPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = productScheduleOf(kernel, plan->dtype);
  if (failed(schedule))
    return mlir::failure();
  auto beside = SumsBeside::of(k);
  if (failed(beside))
    return mlir::failure();
  k.use("transposed_product.cuh");
  std::string type = memoryType(plan->dtype), routing = k.input(plan->routing);
  k.declare(fmt::format("using Tile = {};\n", tileType(*schedule, plan->dtype, static_cast<int64_t>(byteSize(plan->dtype)))));
  Size tilesM = Size::ceilDiv(plan->columns, schedule->tileM), tilesN = Size::ceilDiv(plan->depth, schedule->tileN);
  Lines lines;
  beside->print(lines, schedule->threads());
  lines.line("const int column0 = (int)(block % {}) * Tile::tileN;", k.size(tilesN));
  lines.line("const int row0 = (int)(block / {} % {}) * Tile::tileM;", k.size(tilesN), k.size(tilesM));
  lines.line("const int expert = (int)(block / {});", k.size(tilesN * tilesM));
  lines.line("const long long first = {}[expert];", routing);
  lines.line("const int count = (int)({}[expert + 1] - first);", routing);
  lines.line("{} sums[Tile::rows][Tile::columns];", registerType(plan->dtype));
  auto copy = [&](unsigned input, const Size& width, bool ofA) {
    std::string matrix = fmt::format("{} + first * {}", k.input(input), k.size(width));
    return TransposedOperand{matrix, ofA ? "row0" : "column0", "count", width, ofA}.copy(k, *schedule, plan->dtype);
  };
  lines.line("multiplyTransposed<Tile, true, true>(shared, sums, count,");
  lines.line("    {},", copy(plan->dy, plan->columns, true));
  lines.line("    {});", copy(plan->rows, plan->depth, false));
  if (failed(printSums(k, lines, *plan, *schedule, beside->others())))
    return mlir::failure();
  llvm::SmallVector<mlir::Value> sinks = beside->otherResults();
  k.stage({.name = "product",
           .summary = fmt::format("A block computes {} x {} elements of one expert's gradient ({} x {}) from all rows of the expert.", schedule->tileM,
                                  schedule->tileN, plan->columns.str(), plan->depth.str()),
           .blocks = beside->blocks() + Size(plan->experts) * tilesM * tilesN,
           .threads = schedule->threads(),
           .residentBlocks = 2,
           .operations = plan->count * plan->columns * plan->depth * Size(2) + epilogueOperations(plan->op.getResult(), sinks) + beside->operations(),
           .body = lines.str()});
  return mlir::success();
}

mlir::DictionaryAttr scheduleWeightGrad(ir::KernelOp kernel, const CudaTarget& target) {
  auto plan = WeightGradPlan::of(kernel);
  if (failed(plan))
    return {};
  int64_t copy = std::min(copyBytes(plan->dtype, plan->columns), copyBytes(plan->dtype, plan->depth));
  ProductSchedule schedule =
      chooseProduct({plan->dtype, Size(plan->experts), plan->columns, plan->depth, Size::ceilDiv(plan->count, plan->experts), copy}, target);
  if (auto why = schedule.illegal(plan->dtype)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace moec::codegen::cuda
