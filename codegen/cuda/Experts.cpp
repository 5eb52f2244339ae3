// moe.kernel of kinds `expert_up`, `expert_mid` and `expert_down`: products of each expert's rows with its own weights.
//   product, persistent blocks:  for each tile of an expert's rows (gathered, or as they stand) and columns:  sums, ops behind, store
//   combine, expert_down only:   an element of a token is the sum of its kept choices' weighted rows, in choice order; ops behind, store
// Between the two, row token*K + choice of the workspace is a choice's row times its weight. Results of expert_down may be values of the rows, too: those are
// stored as they stand.
#include "codegen/analysis/InPlace.h"
#include "codegen/analysis/ProductPlans.h"
#include "codegen/cuda/ExpertText.h"
#include "codegen/cuda/Kernels.h"

namespace moec::codegen::cuda {
namespace {

struct ExpertKernel {
  KernelText& k;
  ExpertPlan plan;
  ProductSchedule schedule;
  bool needsPlace = false; // token*K + choice of each row, beyond the gather

  std::string routing() const { return k.input(plan.routing); }
  std::string rowList() const { return fmt::format("({} + {})", routing(), plan.experts() + 1); }
  std::string slots() const { return fmt::format("({} + {} + {})", routing(), plan.experts() + 1, k.size(plan.pairs())); }

  void printTile(Lines& lines) const;
  mlir::LogicalResult productStage(mlir::ArrayRef<mlir::Value> sinks, PrintRow printRow) const;
};

mlir::FailureOr<ExpertKernel> expertKernel(KernelText& k, ir::KernelOp kernel) {
  auto plan = ExpertPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  if (plan->b.nr)
    return kernel.emitOpError("takes packed weights: CUDA kernels read them as they are");
  auto schedule = productScheduleOf(kernel, plan->dtype);
  if (failed(schedule))
    return mlir::failure();
  return ExpertKernel{k, *plan, *schedule};
}

// Finds the tile and multiplies it.
void ExpertKernel::printTile(Lines& lines) const {
  std::string type = memoryType(plan.dtype), depth = k.size(plan.b.depth);
  lines.line("const int column0 = (int)(tile % {}) * Tile::tileN;", k.size(Size::ceilDiv(plan.b.columns, schedule.tileN)));
  lines.line("const int expert = tiles.expert, first = tiles.first, count = tiles.count;");
  std::string matrix = linearIndex(k, {Size(plan.experts()), plan.b.columns, plan.b.depth}, {"expert", plan.b.transposed ? "0" : "column0", "0"});
  lines.line("const {}* b = {} + {};", type, k.input(plan.b.input), matrix);
  lines.line("{} sums[Tile::rows][Tile::columns];", registerType(plan.dtype));
  lines.line("__syncthreads(); // all are done with the slices of the tile before");
  std::string row = "first + m";
  ir::Sizes sizes{plan.rows(), plan.b.depth};
  if (plan.gathered) {
    sizes = {plan.tokens(), plan.b.depth};
    row = plan.choices == 1 ? "rows[first + m]" : fmt::format("rows[first + m] / {}", plan.choices);
  }
  std::string holeA =
      fmt::format("[&](int m) -> const {}* {{ return m < count ? {} + {} : nullptr; }}", type, k.input(plan.a), linearIndex(k, sizes, {row, "0"}));
  if (plan.b.transposed) {
    lines.line("const RowCopies<Tile, Tile::tileM> rowsOfA({});", holeA);
    lines.line("multiplyTransposed<Tile, false, true>(shared, sums, (int){},", depth);
    lines.line("    [&]({}* slice, int k) {{ rowsOfA.start(slice, k, (int){}, {}); }},", type, depth, k.input(plan.a));
    lines.line("    {});", TransposedOperand{"b", "column0", depth, plan.b.columns, false}.copy(k, schedule, plan.dtype));
    return;
  }
  lines.line("multiplyTile<Tile>(shared, sums, {}, {},", depth, k.input(plan.a));
  lines.line("                   {},", holeA);
  std::string inside = guard(k, "column0 + n", plan.b.columns, schedule.tileN), column = fmt::format("b + n * {}", depth);
  lines.line("                   [&](int n) -> const {}* {{ return {}; }});", type, inside.empty() ? column : fmt::format("{} ? {} : nullptr", inside, column));
}

mlir::LogicalResult ExpertKernel::productStage(mlir::ArrayRef<mlir::Value> sinks, PrintRow printRow) const {
  k.use(plan.b.transposed ? "transposed_product.cuh" : "product.cuh");
  k.use("experts.cuh");
  k.declare(fmt::format("using Tile = {};\n", tileType(schedule, plan.dtype, copyBytes(plan.dtype, plan.b.depth))));
  Size tilesN = Size::ceilDiv(plan.b.columns, schedule.tileN);
  Lines lines;
  lines.line("__shared__ Tile::Shared shared;");
  if (plan.gathered || needsPlace)
    lines.line("const int* rows = {};", rowList());
  lines.line("ExpertTiles<{}, Tile::tileM> tiles({});", plan.experts(), routing());
  lines.open("for (long long tile = blockIdx.x; tiles.find(tile / {}); tile += gridDim.x)", k.size(tilesN));
  printTile(lines);
  std::optional<int64_t> placeChoices = needsPlace ? std::optional(plan.choices) : std::nullopt;
  if (failed(printTileSums(k, lines, ir::GroupedMatmulOp(plan.op).getResult(), schedule.tileN, placeChoices, printRow)))
    return mlir::failure();
  lines.close();
  // More blocks than are resident at once would only search for their tiles again.
  Size most = mostExpertBlocks(plan.rows(), plan.experts(), schedule.tileM) * tilesN;
  Size resident = Size(int64_t{schedule.resident(k.target(), plan.dtype)} * k.target().multiprocessors);
  k.stage({.name = "product",
           .summary = fmt::format("A block computes tiles of {} x {} elements of the experts' rows times their weights ({} x {}), as many as fall to it.",
                                  schedule.tileM, schedule.tileN, plan.b.columns.str(), plan.b.depth.str()),
           .blocks = Size::min(most, resident),
           .threads = schedule.threads(),
           .residentBlocks = 2,
           .operations = plan.rows() * plan.b.columns * plan.b.depth * Size(2) + epilogueOperations(ir::GroupedMatmulOp(plan.op).getResult(), sinks),
           .body = lines.str()});
  return mlir::success();
}

//===--- expert_down: the rows of a token become one ---===//

constexpr int kCombineThreads = 256;

mlir::LogicalResult combineStage(const ExpertKernel& kernel, const CombinePlan& combine, const std::string& rows) {
  KernelText& k = kernel.k;
  const ExpertPlan& plan = kernel.plan;
  mlir::Value result = ir::CombineOp(combine.op).getResult();
  ir::Sizes sizes = ir::sizesOf(result); // (T, D)
  Size elements = ir::product(sizes);
  Lines lines;
  lines.line("const long long element = blockIdx.x * {}ll + threadIdx.x;", kCombineThreads);
  if (std::string inside = guard(k, "element", elements, kCombineThreads); !inside.empty())
    lines.line("if (!({})) return;", inside);
  lines.line("const long long token = element / {};", k.size(sizes[1]));
  lines.line("const int column = (int)(element % {});", k.size(sizes[1]));
  printCombine(k, lines, sumType(plan.dtype), plan.choices, sizes[1], kernel.slots(), rows, plan.isBounded());
  if (failed(printResults(k, lines, {result, {"token", "column"}, "sum", ""}, "element", combine.ofTokens)))
    return mlir::failure();
  llvm::SmallVector<mlir::Value> sinks;
  for (unsigned i : combine.ofTokens)
    sinks.push_back(yieldOf(k.kernel())->getOperand(i));
  k.stage({.name = "combine",
           .summary = "A thread computes one element of a token: the sum of its kept choices' rows, in choice order.",
           .blocks = Size::ceilDiv(elements, kCombineThreads),
           .threads = kCombineThreads,
           .operations = elements * Size(plan.choices) + epilogueOperations(result, sinks),
           .body = lines.str()});
  return mlir::success();
}

mlir::DictionaryAttr scheduleExperts(ir::KernelOp kernel, const CudaTarget& target) {
  auto plan = ExpertPlan::of(kernel);
  if (failed(plan))
    return {};
  int64_t copy = plan->b.transposed ? std::min(copyBytes(plan->dtype, plan->b.depth), copyBytes(plan->dtype, plan->b.columns)) : 0;
  ProductSchedule schedule =
      chooseProduct({plan->dtype, Size(plan->experts()), Size::ceilDiv(plan->rows(), plan->experts()), plan->b.columns, plan->b.depth, copy}, target);
  if (auto why = schedule.illegal(plan->dtype)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace

mlir::LogicalResult buildExpertUp(KernelText& k, ir::KernelOp op) {
  auto kernel = expertKernel(k, op);
  if (failed(kernel))
    return mlir::failure();
  k.allowInPlace(inPlaceOf(op));
  llvm::SmallVector<mlir::Value> sinks(yieldOf(op)->getOperands());
  return kernel->productStage(sinks, [&](Lines& lines, const EpilogueText& epilogue) {
    return printResults(k, lines, epilogue, linearIndex(k, ir::sizesOf(epilogue.source), epilogue.at));
  });
}

mlir::LogicalResult buildExpertDown(KernelText& k, ir::KernelOp op) {
  auto kernel = expertKernel(k, op);
  if (failed(kernel))
    return mlir::failure();
  auto combine = CombinePlan::of(op, kernel->plan);
  if (failed(combine))
    return mlir::failure();
  kernel->needsPlace = true;
  const ExpertPlan& plan = kernel->plan;
  std::string rows = k.addWorkspace(sumType(plan.dtype), plan.rows() * plan.b.columns);
  mlir::Value weights = combine->op.getWeights();
  llvm::SmallVector<mlir::Value> sinks{combine->op.getRows()};
  for (unsigned i : combine->ofRows)
    sinks.push_back(yieldOf(op)->getOperand(i));
  auto printRow = [&](Lines& lines, const EpilogueText& epilogue) -> mlir::LogicalResult {
    auto values = epilogue.print(k, lines, sinks);
    if (failed(values))
      return mlir::failure();
    ir::Sizes sizes = ir::sizesOf(epilogue.source);
    // Side by side for their token, unless there is not room for all.
    lines.line("{}[{}] = {} * {};", rows, linearIndex(k, sizes, {plan.isBounded() ? "row" : "place", "column"}),
               loadText(codegen::dtypeOf(weights), k.input(combine->weights), "place"), values->front());
    for (auto [i, result] : llvm::enumerate(combine->ofRows))
      lines.add(storeText(codegen::dtypeOf(sinks[i + 1]), k.output(result), linearIndex(k, sizes, epilogue.at), (*values)[i + 1]));
    return mlir::success();
  };
  if (failed(kernel->productStage(sinks, printRow)))
    return mlir::failure();
  return combineStage(*kernel, *combine, rows);
}

mlir::DictionaryAttr scheduleExpertUp(ir::KernelOp kernel, const CudaTarget& target) { return scheduleExperts(kernel, target); }
mlir::DictionaryAttr scheduleExpertDown(ir::KernelOp kernel, const CudaTarget& target) { return scheduleExperts(kernel, target); }

} // namespace moec::codegen::cuda
