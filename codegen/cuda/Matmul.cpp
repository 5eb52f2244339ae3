// moe.kernel of kind `matmul`: a block computes one tile of one batch entry's product and takes its sums through the ops behind it. Sums of rows of an
// argument, as the gradient of a bias, are blocks of the same launch.
#include "codegen/analysis/ProductPlans.h"
#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/ProductText.h"
#include "codegen/cuda/SumsOfRows.h"

namespace moec::codegen::cuda {
namespace {

// "a + at1 * 64 * 32": where the matrix of a batch entry starts. `at` are the entry's coordinates.
std::string matrixOf(KernelText& k, const std::string& pointer, const Coordinates& at, llvm::ArrayRef<Size> strides) {
  std::string text = pointer;
  for (size_t i = 0; i < strides.size(); ++i)
    if (!(strides[i] == Size(0)) && at[i] != "0")
      text += fmt::format(" + (long long){} * {}", at[i], k.size(strides[i]));
  return text;
}

// The product of a tile where a (rows of M elements), b (rows of N elements) or both lie transposed. `a` and `b` point to the entry's matrices; the holes find
// the rows of one that does not.
void printTransposed(KernelText& k, Lines& lines, const MatmulPlan& plan, const ProductSchedule& schedule, const std::string& holeA, const std::string& holeB) {
  std::string depth = k.size(plan.b.depth), type = memoryType(plan.dtype);
  auto copy = [&](bool transposed, bool ofA, const std::string& hole) {
    if (transposed)
      return TransposedOperand{ofA ? "a" : "b", ofA ? "row0" : "column0", depth, ofA ? plan.rows : plan.b.columns, ofA}.copy(k, schedule, plan.dtype);
    const char* rows = ofA ? "rowsOfA" : "rowsOfB";
    lines.line("const RowCopies<Tile, Tile::tile{}> {}({});", ofA ? "M" : "N", rows, hole);
    return fmt::format("[&]({}* slice, int k) {{ {}.start(slice, k, (int){}, {}); }}", type, rows, depth, ofA ? "a" : "b");
  };
  std::string copyA = copy(plan.transposed, true, holeA), copyB = copy(plan.b.transposed, false, holeB);
  lines.line("multiplyTransposed<Tile, {}, {}>(shared, sums, (int){},", plan.transposed, plan.b.transposed, depth);
  lines.line("    {},", copyA);
  lines.line("    {});", copyB);
}

/// Of the narrowest copies among the operands; 0 where none lies transposed.
int64_t copyOf(const MatmulPlan& plan) {
  if (!plan.transposed && !plan.b.transposed)
    return 0;
  return std::min(copyBytes(plan.dtype, plan.transposed ? plan.rows : plan.b.depth), copyBytes(plan.dtype, plan.b.transposed ? plan.b.columns : plan.b.depth));
}

// Prints the inside of the loops over a thread's sums. `entry`: coordinates of the batch entry.
mlir::LogicalResult printSums(KernelText& k, Lines& lines, const MatmulPlan& plan, const ProductSchedule& schedule, const Coordinates& entry,
                              llvm::ArrayRef<unsigned> results) {
  mlir::Value product = ir::MatmulOp(plan.op).getResult();
  ir::Sizes sizes = ir::sizesOf(product), rowSizes(sizes.begin() + static_cast<int64_t>(entry.size()), sizes.end() - 1);
  bool narrow = plan.rows.constant() && *plan.rows.constant() <= INT32_MAX;
  lines.add("#pragma unroll");
  lines.open("for (int m = 0; m < Tile::rows; ++m)");
  lines.line("const {} row = row0 + Tile::rowOf(m);", narrow ? "int" : "long long");
  if (std::string inside = guard(k, "row", plan.rows, schedule.tileM); !inside.empty())
    lines.line("if (!({})) continue;", inside);
  Coordinates at = entry, places = rowSizes.size() == 1 ? Coordinates{"row"} : printCoordinates(k, lines, "row", rowSizes, "at");
  at.insert(at.end(), places.begin(), places.end());
  at.push_back("column");
  lines.add("#pragma unroll");
  lines.open("for (int n = 0; n < Tile::columns; ++n)");
  lines.line("const int column = column0 + Tile::columnOf(n);");
  if (std::string inside = guard(k, "column", plan.b.columns, schedule.tileN); !inside.empty())
    lines.line("if (!({})) continue;", inside);
  Coordinates flat = entry.empty() ? Coordinates{"row", "column"} : Coordinates{"entry", "row", "column"};
  ir::Sizes flatSizes = entry.empty() ? ir::Sizes{plan.rows, plan.b.columns} : ir::Sizes{ir::product(plan.batch), plan.rows, plan.b.columns};
  if (mlir::failed(printResults(k, lines, {product, at, "sums[m][n]", ""}, linearIndex(k, flatSizes, flat), results)))
    return mlir::failure();
  lines.close();
  lines.close();
  return mlir::success();
}

} // namespace

mlir::LogicalResult buildMatmul(KernelText& k, ir::KernelOp kernel) {
  auto plan = MatmulPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  if (plan->b.nr)
    return kernel.emitOpError("takes packed weights: CUDA kernels read them as they are");
  auto schedule = productScheduleOf(kernel, plan->dtype);
  if (failed(schedule))
    return mlir::failure();
  auto beside = SumsBeside::of(k);
  if (failed(beside))
    return mlir::failure();
  k.use(plan->transposed || plan->b.transposed ? "transposed_product.cuh" : "product.cuh");
  const Size &rows = plan->rows, &columns = plan->b.columns, &depth = plan->b.depth;
  std::string type = memoryType(plan->dtype);
  k.declare(fmt::format("using Tile = {};\n", tileType(*schedule, plan->dtype, copyBytes(plan->dtype, depth))));

  Size tilesM = Size::ceilDiv(rows, schedule->tileM), tilesN = Size::ceilDiv(columns, schedule->tileN), matrices = ir::product(plan->batch);
  bool narrow = rows.constant() && *rows.constant() <= INT32_MAX;
  Lines lines;
  beside->print(lines, schedule->threads());
  lines.line("const int column0 = (int)(block % {}) * Tile::tileN;", k.size(tilesN));
  std::string place = fmt::format("block / {}", k.size(tilesN));
  Coordinates entry;
  if (plan->batch.empty()) {
    lines.line("const {0} row0 = ({0})({1}) * Tile::tileM;", narrow ? "int" : "long long", place);
  } else {
    lines.line("const {0} row0 = ({0})({1} % {2}) * Tile::tileM;", narrow ? "int" : "long long", place, k.size(tilesM));
    lines.line("const long long entry = {} / {};", place, k.size(tilesM));
    entry = printCoordinates(k, lines, "entry", plan->batch, "entry");
  }
  lines.line("const {}* a = {};", type, matrixOf(k, k.input(plan->a), entry, plan->aStrides()));
  std::vector<Size> bStrides = plan->bStrides();
  for (Size& stride : bStrides)
    stride = stride * columns * depth;
  std::string b = k.input(plan->b.input);
  if (!(plan->b.before == Size(0)))
    b = fmt::format("({} + {})", b, k.size(plan->b.before));
  lines.line("const {}* b = {};", type, matrixOf(k, b, entry, bStrides));
  lines.line("{} sums[Tile::rows][Tile::columns];", registerType(plan->dtype));
  auto hole = [&](const char* name, const char* matrix, const char* first, const Size& count, int64_t tile) {
    std::string index = fmt::format("{} + {}", first, name), row = fmt::format("{} + {}", matrix, linearIndex(k, {count, depth}, {index, "0"}));
    std::string inside = guard(k, index, count, tile);
    return fmt::format("[&](int {}) -> const {}* {{ return {}; }}", name, type, inside.empty() ? row : fmt::format("{} ? {} : nullptr", inside, row));
  };
  std::string holeA = hole("m", "a", "row0", rows, schedule->tileM), holeB = hole("n", "b", "column0", columns, schedule->tileN);
  if (plan->transposed || plan->b.transposed) {
    printTransposed(k, lines, *plan, *schedule, holeA, holeB);
  } else {
    lines.line("multiplyTile<Tile>(shared, sums, {}, a,", k.size(depth));
    lines.line("                   {},", holeA);
    lines.line("                   {});", holeB);
  }
  if (mlir::failed(printSums(k, lines, *plan, *schedule, entry, beside->others())))
    return mlir::failure();
  llvm::SmallVector<mlir::Value> sinks = beside->otherResults();
  k.stage({.name = "product",
           .summary = fmt::format("A block computes {} x {} elements of a product of {} rows and {} columns, {} deep.", schedule->tileM, schedule->tileN,
                                  rows.str(), columns.str(), depth.str()),
           .blocks = beside->blocks() + matrices * tilesM * tilesN,
           .threads = schedule->threads(),
           .residentBlocks = 2,
           .operations = matrices * rows * columns * depth * Size(2) + epilogueOperations(plan->op.getResult(), sinks) + beside->operations(),
           .body = lines.str()});
  return mlir::success();
}

mlir::DictionaryAttr scheduleMatmul(ir::KernelOp kernel, const CudaTarget& target) {
  auto plan = MatmulPlan::of(kernel);
  if (failed(plan))
    return {};
  ProductSchedule schedule = chooseProduct({plan->dtype, ir::product(plan->batch), plan->rows, plan->b.columns, plan->b.depth, copyOf(*plan)}, target);
  if (auto why = schedule.illegal(plan->dtype)) {
    kernel.emitOpError("has no legal schedule: ") << *why;
    return {};
  }
  return schedule.attr(kernel.getContext());
}

} // namespace moec::codegen::cuda
