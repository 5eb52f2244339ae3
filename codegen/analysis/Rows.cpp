#include "codegen/analysis/Rows.h"

#include "llvm/ADT/TypeSwitch.h"

namespace moec::codegen {

namespace {

int64_t rankOf(mlir::Value value) { return mlir::cast<mlir::RankedTensorType>(value.getType()).getRank(); }

/// The axis that an op along one axis works on; nothing for others.
std::optional<int64_t> axisOf(mlir::Operation* op) {
  return llvm::TypeSwitch<mlir::Operation*, std::optional<int64_t>>(op)
      .Case([](ir::ReduceOp reduce) { return reduce.getAxis(); })
      .Case([](ir::SliceOp slice) { return slice.getAxis(); })
      .Case([](ir::ConcatOp concat) { return concat.getAxis(); })
      .Default([](mlir::Operation*) { return std::nullopt; });
}

} // namespace

ir::Sizes leadingSizes(ir::Sizes sizes) {
  if (!sizes.empty())
    sizes.pop_back();
  return sizes;
}

bool isRouted(mlir::Operation* op) { return mlir::isa<ir::DispatchOp, ir::ExpertRowsOp, ir::RowWeightsOp, ir::CombineOp>(op); }

mlir::Value routingOf(mlir::Operation* op) {
  auto routing = llvm::find_if(op->getOperands(), [](mlir::Value operand) { return mlir::isa<ir::RoutingType>(operand.getType()); });
  return routing == op->operand_end() ? mlir::Value() : *routing;
}

mlir::Value raggedRouting(mlir::Operation* yield) {
  // What is made, row by row, from rows of a routing.
  llvm::DenseMap<mlir::Value, mlir::Value> routings;
  for (mlir::Operation& op : yield->getBlock()->without_terminator())
    for (mlir::Value result : op.getResults()) {
      if (mlir::isa<ir::DispatchOp, ir::ExpertRowsOp>(op))
        routings[result] = routingOf(&op);
      else if (!isRouted(&op))
        for (mlir::Value operand : op.getOperands())
          if (mlir::Value routing = routings.lookup(operand))
            routings[result] = routing;
    }
  mlir::Value common = yield->getNumOperands() ? routings.lookup(yield->getOperand(0)) : mlir::Value();
  return llvm::all_of(yield->getOperands(), [&](mlir::Value value) { return routings.lookup(value) == common; }) ? common : mlir::Value();
}

bool worksAlongRows(mlir::Operation* op) { return axisOf(op) || mlir::isa<ir::LayerNormOp, ir::SoftmaxOp, ir::SelectOp>(op); }

bool holdsRows(mlir::Operation* op) {
  if (auto axis = axisOf(op))
    return *axis == rankOf(op->getOperand(0)) - 1;
  return ir::isElementwise(op) || mlir::isa<ir::ConstantOp, ir::RandomOp>(op) || isRouted(op) || worksAlongRows(op);
}

ir::Sizes leadingOfRows(llvm::ArrayRef<mlir::Operation*> ops) {
  for (mlir::Operation* op : ops)
    if (worksAlongRows(op))
      return leadingSizes(ir::sizesOf(op->getOperand(0)));
  ir::Sizes all;
  for (mlir::Operation* op : ops)
    if (auto more = ir::broadcastSizes(all, ir::sizesOf(op->getResult(0))))
      all = *more;
  return leadingSizes(all);
}

llvm::DenseSet<mlir::Value> onePerRow(llvm::ArrayRef<mlir::Operation*> ops, const ir::Sizes& leading) {
  llvm::DenseSet<mlir::Value> values;
  auto isComputed = [&](mlir::Value value) { return llvm::is_contained(ops, value.getDefiningOp()); };
  for (mlir::Operation* op : ops) {
    bool isOne = mlir::isa<ir::ReduceOp>(op) || (ir::isElementwise(op) && llvm::any_of(op->getOperands(), [&](mlir::Value v) { return values.contains(v); }));
    if (!isOne)
      continue;
    values.insert(op->getResult(0));
    if (ir::isElementwise(op))
      for (mlir::Value operand : op->getOperands())
        if (!isComputed(operand) && rankOf(operand) > 0 && ir::sizesOf(operand) == leading)
          values.insert(operand);
  }
  return values;
}

} // namespace moec::codegen
