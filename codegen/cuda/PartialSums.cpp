// loops of long sums:
//   partial   along columns (32 results side by side, 8 warps down the rows of a piece), or, where a sum goes along memory or the results are few, a block for
//   each
//             piece of each result; to a workspace (pieces, results)
//   total     the pieces' sums in order (of a block's threads in a fixed tree), and the ops behind
// Sums of floats are of doubles, as everywhere in loops.
#include "codegen/cuda/PartialSums.h"

#include "codegen/analysis/Operands.h"
#include "codegen/cuda/ElementText.h"

namespace moec::codegen::cuda {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int64_t kLong = 2048;           // elements of a sum that is worth two launches
constexpr int64_t kMostResults = 1 << 16; // more keep the machine busy by themselves

bool isLong(ir::ReduceOp op) {
  if (op.getKind() == ir::ReduceKind::Max)
    return false;
  std::optional<int64_t> results = ir::product(ir::sizesOf(op.getResult())).constant(), length = ir::sizesOf(op.getX())[op.getAxis()].constant();
  return results && *results <= kMostResults && (!length || *length >= kLong);
}

bool needs(mlir::Value value, llvm::ArrayRef<ir::ReduceOp> sums) {
  mlir::Operation* op = value.getDefiningOp();
  return op && (llvm::is_contained(sums, op) || llvm::any_of(op->getOperands(), [&](mlir::Value operand) { return needs(operand, sums); }));
}

/// Whether an element of the value needs the sums at its own place only.
bool needsOwnPlace(mlir::Value value, llvm::ArrayRef<ir::ReduceOp> sums, const ir::Sizes& sizes) {
  if (!needs(value, sums))
    return true;
  mlir::Operation* op = value.getDefiningOp();
  if (!(ir::sizesOf(value) == sizes))
    return false;
  if (llvm::is_contained(sums, op))
    return llvm::none_of(op->getOperands(), [&](mlir::Value operand) { return needs(operand, sums); });
  return ir::isElementwise(op) && llvm::all_of(op->getOperands(), [&](mlir::Value operand) { return needsOwnPlace(operand, sums, sizes); });
}

struct LongSum {
  ir::ReduceOp op;
  Size length;
  int64_t results;
  bool inColumns;   // else a block for each piece of a result
  std::string work; // (pieces, results), doubles

  explicit LongSum(ir::ReduceOp reduce)
      : op(reduce), length(ir::sizesOf(reduce.getX())[reduce.getAxis()]), results(*ir::product(ir::sizesOf(reduce.getResult())).constant()) {
    inColumns = results >= 32 && reduce.getAxis() + 1 < ir::sizesOf(reduce.getX()).size();
  }
  int64_t piece() const { return inColumns ? 32 * kWarps : 16 * kThreads; }
  Size pieces() const { return Size::ceilDiv(length, piece()); }
  mlir::Value result() const { return ir::ReduceOp(op).getResult(); }
};

/// Loop over the rows of a piece; `sum` takes them up.
void printPiece(KernelText& k, Lines& lines, const LongSum& sum, const char* first, int step) {
  ir::ReduceOp op = sum.op;
  Coordinates at = printCoordinates(k, lines, "index", ir::sizesOf(op.getResult()), "at");
  lines.line("const long long from = piece * {0}ll, end = from + {0} < {1} ? from + {0} : {1};", sum.piece(), k.size(sum.length));
  lines.open("for (long long i = from + {}; i < end; i += {})", first, step);
  ElementText texts(k, lines);
  at.insert(at.begin() + static_cast<int64_t>(op.getAxis()), "i");
  lines.line("sum += (double){};", texts.element(op.getX(), at));
  lines.close();
}

/// The sum over the block's warps, in order, of 32 results side by side.
void printSumOfWarps(Lines& lines, std::string_view parts) {
  lines.line("{}[threadIdx.x / 32][threadIdx.x % 32] = sum;", parts);
  lines.line("__syncthreads();");
  lines.line("sum = 0;");
  lines.add("#pragma unroll");
  lines.line("for (int warp = 0; warp < {}; ++warp)", kWarps);
  lines.line("  sum += {}[warp][threadIdx.x % 32];", parts);
}

void partialStage(KernelText& k, const LongSum& sum, size_t number) {
  Lines lines;
  int64_t slabs = (sum.results + 31) / 32;
  if (sum.inColumns) {
    lines.line("__shared__ double parts[{}][32];", kWarps);
    lines.line("const long long index = blockIdx.x % {} * 32 + threadIdx.x % 32, piece = blockIdx.x / {};", slabs, slabs);
    lines.line("double sum = 0;");
    lines.open("if (index < {})", sum.results);
    printPiece(k, lines, sum, "threadIdx.x / 32", kWarps);
    lines.close();
    printSumOfWarps(lines, "parts");
    lines.line("if (threadIdx.x < 32 && index < {})", sum.results);
  } else {
    k.use("rows.cuh");
    lines.line("const long long index = blockIdx.x % {0}, piece = blockIdx.x / {0};", sum.results);
    lines.line("double sum = 0;");
    printPiece(k, lines, sum, "threadIdx.x", kThreads);
    lines.line("sum = Group<{}>::fold(sum, Sum());", kThreads);
    lines.line("if (threadIdx.x == 0)");
  }
  lines.line("  {}[piece * {} + index] = sum;", sum.work, sum.results);
  ir::ReduceOp op = sum.op;
  k.stage({.name = fmt::format("partial{}", number),
           .summary = fmt::format("A block sums up {} elements of {}.", sum.piece(), sum.inColumns ? "each of 32 results" : "one result"),
           .blocks = sum.pieces() * Size(sum.inColumns ? slabs : sum.results),
           .threads = kThreads,
           .operations = ir::product(ir::sizesOf(op.getX())) * Size(elementCost(op)),
           .body = lines.str()});
}

/// The whole sum at `index`, rounded to its type, as a variable.
std::string printTotal(KernelText& k, Lines& lines, const LongSum& sum, size_t number, bool sideBySide) {
  std::string name = fmt::format("total{}", number);
  lines.line("double {} = 0;", name);
  lines.line("{{");
  lines.indent();
  lines.line("double sum = 0;");
  if (sideBySide) {
    lines.line("if (index < {})", sum.results);
    lines.line("  for (long long piece = threadIdx.x / 32; piece < {}; piece += {})", k.size(sum.pieces()), kWarps);
    lines.line("    sum += {}[piece * {} + index];", sum.work, sum.results);
    printSumOfWarps(lines, fmt::format("parts{}", number));
  } else {
    lines.line("for (long long piece = threadIdx.x; piece < {}; piece += {})", k.size(sum.pieces()), kThreads);
    lines.line("  sum += {}[piece * {} + index];", sum.work, sum.results);
    lines.line("sum = Group<{}>::fold(sum, Sum());", kThreads);
  }
  lines.line("{} = sum{};", name, ir::ReduceOp(sum.op).getKind() == ir::ReduceKind::Mean ? fmt::format(" / (double){}", k.size(sum.length)) : "");
  lines.close();
  DType type = dtypeOf(sum.result());
  return type == DType::BF16 ? fmt::format("toFloat(toBfloat16({}))", name) : fmt::format("({}){}", registerType(type), name);
}

void totalStage(KernelText& k, llvm::ArrayRef<LongSum> sums) {
  mlir::OperandRange results = yieldOf(k.kernel())->getOperands();
  ir::Sizes sizes = ir::sizesOf(results.front());
  int64_t count = sums.front().results;
  bool sideBySide = count >= 32;
  Lines lines;
  for (size_t i = 0; sideBySide && i < sums.size(); ++i)
    lines.line("__shared__ double parts{}[{}][32];", i, kWarps);
  if (sideBySide)
    lines.line("const long long index = blockIdx.x * 32ll + threadIdx.x % 32;");
  else
    lines.line("const long long index = blockIdx.x;");
  ElementText texts(k, lines);
  for (auto [i, sum] : llvm::enumerate(sums)) {
    std::string total = printTotal(k, lines, sum, i, sideBySide), name = fmt::format("reduced{}_", i);
    lines.line("const {} {} = {};", registerType(dtypeOf(sum.result())), name, total);
    texts.bind(sum.result(), [name](const Coordinates&) { return name; });
  }
  lines.line("if (threadIdx.x >= {}{})", sideBySide ? 32 : 1, sideBySide ? fmt::format(" || index >= {}", count) : "");
  lines.line("  return;");
  Coordinates at = printCoordinates(k, lines, "index", sizes, "at");
  for (auto [i, result] : llvm::enumerate(results))
    lines.add(storeText(dtypeOf(result), k.output(static_cast<unsigned>(i)), "index", texts.element(result, at)));
  if (!sideBySide)
    k.use("rows.cuh");
  Size operations = 0;
  for (const LongSum& sum : sums)
    operations = operations + sum.pieces() * Size(sum.results);
  k.stage({.name = "total",
           .summary = fmt::format("A block sums up the pieces of {}.", sideBySide ? "32 results" : "one result"),
           .blocks = sideBySide ? (count + 31) / 32 : count,
           .threads = kThreads,
           .operations = operations,
           .body = lines.str()});
}

} // namespace

std::vector<ir::ReduceOp> longSumsOf(ir::KernelOp kernel) {
  std::vector<ir::ReduceOp> sums;
  for (mlir::Operation& op : kernel.getBody().front())
    if (auto reduce = mlir::dyn_cast<ir::ReduceOp>(op); reduce && isLong(reduce))
      sums.push_back(reduce);
  mlir::OperandRange results = yieldOf(kernel)->getOperands();
  bool fits = !sums.empty() && llvm::all_of(results, [&](mlir::Value value) {
    return ir::sizesOf(value) == ir::sizesOf(sums.front().getResult()) && needsOwnPlace(value, sums, ir::sizesOf(sums.front().getResult()));
  });
  return fits ? sums : std::vector<ir::ReduceOp>();
}

void buildPartialSums(KernelText& k, llvm::ArrayRef<ir::ReduceOp> reduces) {
  std::vector<LongSum> sums(reduces.begin(), reduces.end());
  for (LongSum& sum : sums)
    sum.work = k.addWorkspace(DType::F64, sum.pieces() * Size(sum.results));
  for (auto [i, sum] : llvm::enumerate(sums))
    partialStage(k, sum, i);
  totalStage(k, sums);
}

} // namespace moec::codegen::cuda
