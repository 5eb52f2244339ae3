#include "codegen/analysis/SumsOfRows.h"

#include "codegen/analysis/TensorFamilies.h"

namespace moec::codegen {

namespace {

std::optional<SumOfRows> sumOf(mlir::Value value, unsigned result) {
  mlir::Operation* op = value.getDefiningOp();
  if (auto experts = mlir::dyn_cast_or_null<ir::ExpertSumsOp>(op)) {
    ir::Sizes sizes = ir::sizesOf(experts.getRows());
    return SumOfRows{result,   experts.getRows(), experts.getRouting(), mlir::cast<ir::RoutingType>(experts.getRouting().getType()).getExperts(),
                     sizes[0], sizes[1],          dtypeOf(value),       op};
  }
  auto reduce = mlir::dyn_cast_or_null<ir::ReduceOp>(op);
  if (!reduce || reduce.getKind() != ir::ReduceKind::Sum || reduce.getAxis() != 0)
    return std::nullopt;
  ir::Sizes sizes = ir::sizesOf(reduce.getX());
  if (sizes.size() != 2)
    return std::nullopt;
  mlir::Value rows = unshaped(reduce.getX());
  if (ir::Sizes whole = ir::sizesOf(rows); whole.empty() || !(whole.back() == sizes[1]))
    rows = reduce.getX();
  return SumOfRows{result, rows, {}, 1, sizes[0], sizes[1], dtypeOf(value), op};
}

} // namespace

SumsOfRows SumsOfRows::of(ir::KernelOp kernel) {
  SumsOfRows found;
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel)->getOperands())) {
    auto result = static_cast<unsigned>(i);
    if (auto sum = sumOf(value, result))
      found.sums.push_back(*sum);
    else
      found.others.push_back(result);
  }
  return found;
}

llvm::SmallVector<mlir::Value> SumsOfRows::otherResults(ir::KernelOp kernel) const {
  return llvm::map_to_vector(others, [&](unsigned result) { return yieldOf(kernel)->getOperand(result); });
}

std::vector<mlir::Operation*> SumsOfRows::otherOps(ir::KernelOp kernel) const {
  llvm::DenseSet<mlir::Operation*> left;
  for (const SumOfRows& sum : sums) {
    left.insert(sum.op);
    for (mlir::Value rows = sum.op->getOperand(0); rows != sum.rows; rows = rows.getDefiningOp<ir::ReshapeOp>().getX())
      left.insert(rows.getDefiningOp());
  }
  std::vector<mlir::Operation*> ops;
  for (mlir::Operation& op : kernel.getBody().front().without_terminator())
    if (!left.contains(&op))
      ops.push_back(&op);
  return ops;
}

Size SumsOfRows::operations() const {
  Size all = 0;
  for (const SumOfRows& sum : sums)
    all = all + sum.count * sum.columns;
  return all;
}

mlir::FailureOr<unsigned> rowsInput(ir::KernelOp kernel, const SumOfRows& sum) { return inputOf(kernel, sum.rows, "what is summed up beside the product"); }

} // namespace moec::codegen
