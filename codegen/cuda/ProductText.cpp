#include "codegen/cuda/ProductText.h"
#include "codegen/analysis/LoopsPlan.h"

#include "llvm/ADT/Sequence.h"
#include "llvm/ADT/SetVector.h"

namespace moec::codegen::cuda {
namespace {

// Ops between the source and the sinks, the source's own left out. A table's rows are found by `expert`, not by the routing, whatever made it.
llvm::SetVector<mlir::Operation*> opsBehind(mlir::Value source, llvm::ArrayRef<mlir::Value> sinks) {
  llvm::SetVector<mlir::Operation*> ops;
  llvm::SmallVector<mlir::Value> open(sinks);
  while (!open.empty()) {
    mlir::Value value = open.pop_back_val();
    mlir::Operation* op = value == source ? nullptr : value.getDefiningOp();
    if (!op || !ops.insert(op))
      continue;
    if (auto rows = mlir::dyn_cast<ir::ExpertRowsOp>(op))
      open.push_back(rows.getTable());
    else
      open.append(op->operand_begin(), op->operand_end());
  }
  return ops;
}

} // namespace

std::string tileType(const ProductSchedule& s, DType dtype, int64_t copyBytes) {
  return fmt::format("ProductTile<{}, {}, {}, {}, {}, {}, {}>", memoryType(dtype), s.warpsM, s.warpsN, s.rows(), s.columns(), copyBytes, s.stages);
}

int64_t TransposedOperand::copyBytes(DType dtype, const Size& width, int64_t tile) {
  return std::min<int64_t>(cuda::copyBytes(dtype, width), tile * static_cast<int64_t>(byteSize(dtype)));
}

std::string TransposedOperand::copy(KernelText& k, const ProductSchedule& schedule, DType dtype) const {
  const char* tile = ofA ? "Tile::tileM" : "Tile::tileN";
  std::string left = fmt::format("{} - {}", k.size(width), first);
  bool narrow = width.constant() && *width.constant() <= INT32_MAX;
  left = narrow ? left : fmt::format("(int)({0} < {1} ? {0} : {1})", left, tile);
  return fmt::format("[&]({0}* slice, int k) {{ copyTransposed<Tile, {1}, {2}>(slice, k, (int){3}, {4} + {5}, {6}, {7}); }}", memoryType(dtype), tile,
                     copyBytes(dtype, width, ofA ? schedule.tileM : schedule.tileN), depth, matrix, first, k.size(width), left);
}

mlir::FailureOr<std::vector<std::string>> EpilogueText::print(KernelText& k, Lines& lines, llvm::ArrayRef<mlir::Value> sinks) const {
  ir::Sizes sizes = ir::sizesOf(source);
  for (mlir::Value sink : sinks)
    if (ir::sizesOf(sink) != sizes)
      return k.kernel().emitOpError("gives a result of shape ") << ir::describe(ir::sizesOf(sink)) << " where the product has " << ir::describe(sizes);
  ElementText texts(k, lines);
  for (mlir::Operation* op : opsBehind(source, sinks)) {
    auto rows = mlir::dyn_cast<ir::ExpertRowsOp>(op);
    if (!isOfElements(op) && (!rows || expert.empty()))
      return k.kernel().emitOpError("holds ") << op->getName() << " behind its product: not supported by this kernel";
    if (rows)
      texts.bind(rows.getResult(),
                 [&texts, this, rows](const Coordinates& place) { return texts.element(mlir::Value(ir::ExpertRowsOp(rows).getTable()), {expert, place[1]}); });
  }
  // The sum is at hand at one place only.
  Coordinates here = broadcastPlace(sizes, at);
  bool elsewhere = false;
  texts.bind(source, [&](const Coordinates& place) {
    elsewhere |= broadcastPlace(sizes, place) != here;
    return sum;
  });
  std::vector<std::string> values;
  for (mlir::Value sink : sinks)
    values.push_back(texts.element(sink, here));
  if (elsewhere)
    return k.kernel().emitOpError("moves elements of its product: not supported by this kernel");
  return values;
}

mlir::LogicalResult printResults(KernelText& k, Lines& lines, const EpilogueText& epilogue, std::string_view index) {
  return printResults(k, lines, epilogue, index, llvm::to_vector(llvm::seq<unsigned>(0, yieldOf(k.kernel())->getNumOperands())));
}

mlir::LogicalResult printResults(KernelText& k, Lines& lines, const EpilogueText& epilogue, std::string_view index, llvm::ArrayRef<unsigned> results) {
  llvm::SmallVector<mlir::Value> yielded;
  for (unsigned result : results)
    yielded.push_back(yieldOf(k.kernel())->getOperand(result));
  auto values = epilogue.print(k, lines, yielded);
  if (failed(values))
    return mlir::failure();
  for (auto [value, text, result] : llvm::zip(yielded, *values, results))
    lines.add(storeText(codegen::dtypeOf(value), k.output(result), index, text));
  return mlir::success();
}

Size epilogueOperations(mlir::Value source, llvm::ArrayRef<mlir::Value> sinks) {
  Size operations = 0;
  for (mlir::Operation* op : opsBehind(source, sinks))
    if (ir::isElementwise(op))
      operations = operations + ir::product(ir::sizesOf(op->getResult(0))) * Size(elementCost(op));
  return operations;
}

std::string guard(KernelText& k, std::string_view index, const Size& size, int64_t tile) {
  if (size.constant() && *size.constant() % tile == 0)
    return "";
  return fmt::format("{} < {}", index, k.size(size));
}

} // namespace moec::codegen::cuda
