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

bool isRouted(mlir::Operation* op) {
  return mlir::isa<ir::DispatchOp, ir::ExpertRowsOp, ir::ExpertCountsOp, ir::RowWeightsOp, ir::ChoiceValuesOp, ir::CombineOp>(op);
}

mlir::Value routingOf(mlir::Operation* op) {
  auto routing = llvm::find_if(op->getOperands(), [](mlir::Value operand) { return mlir::isa<ir::RoutingType>(operand.getType()); });
  return routing == op->operand_end() ? mlir::Value() : *routing;
}

mlir::Value raggedRouting(mlir::Operation* yield) {
  for (mlir::BlockArgument argument : yield->getBlock()->getArguments())
    if (mlir::isa<ir::RoutingType>(argument.getType()) && argument.use_empty())
      return argument;
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

bool worksAlongRows(mlir::Operation* op) {
  return axisOf(op) || mlir::isa<ir::LayerNormOp, ir::RmsNormOp, ir::SoftmaxOp, ir::SelectOp, ir::LayerNormGradOp, ir::RmsNormGradOp, ir::SoftmaxGradOp,
                                 ir::LogSumExpOp, ir::CrossEntropyOp, ir::CrossEntropyGradOp, ir::IsTopOp, ir::SelectGradOp, ir::TakeOp>(op);
}

mlir::Value rowOperand(mlir::Operation* op) {
  if (auto grad = mlir::dyn_cast<ir::CrossEntropyGradOp>(op))
    return grad.getScores();
  return op->getOperand(0);
}

bool givesOnePerRow(mlir::Operation* op) { return mlir::isa<ir::ReduceOp, ir::LogSumExpOp, ir::CrossEntropyOp, ir::IsTopOp>(op); }

bool holdsRows(mlir::Operation* op) {
  if (auto axis = axisOf(op))
    return *axis == rankOf(op->getOperand(0)) - 1;
  return ir::isElementwise(op) || mlir::isa<ir::ConstantOp, ir::SizeOp, ir::RandomOp>(op) || isRouted(op) || worksAlongRows(op);
}

ir::Sizes leadingOfRows(llvm::ArrayRef<mlir::Operation*> ops) {
  for (mlir::Operation* op : ops)
    if (worksAlongRows(op))
      return leadingSizes(ir::sizesOf(rowOperand(op)));
  ir::Sizes all;
  for (mlir::Operation* op : ops)
    if (auto more = ir::broadcastSizes(all, ir::sizesOf(op->getResult(0))))
      all = *more;
  return leadingSizes(all);
}

llvm::DenseSet<mlir::Value> onePerRow(llvm::ArrayRef<mlir::Operation*> ops, const ir::Sizes& leading) {
  llvm::DenseSet<mlir::Value> values;
  auto add = [&](mlir::Value value) {
    if (rankOf(value) > 0 && ir::sizesOf(value) == leading)
      values.insert(value);
  };
  auto see = [&](mlir::Operation* op) {
    if (givesOnePerRow(op))
      values.insert(op->getResult(0));
    if (auto loss = mlir::dyn_cast<ir::CrossEntropyOp>(op))
      add(loss.getLabels());
    if (auto top = mlir::dyn_cast<ir::IsTopOp>(op))
      add(top.getLabels());
    if (auto grad = mlir::dyn_cast<ir::CrossEntropyGradOp>(op))
      for (mlir::Value operand : {grad.getDy(), grad.getLabels()})
        add(operand);
    bool isOne =
        ir::isElementwise(op) && (values.contains(op->getResult(0)) || llvm::any_of(op->getOperands(), [&](mlir::Value v) { return values.contains(v); }));
    if (!isOne)
      return;
    values.insert(op->getResult(0));
    for (mlir::Value operand : op->getOperands())
      add(operand);
  };
  size_t before;
  do { // until neither results nor operands tell of more
    before = values.size();
    llvm::for_each(ops, see);
  } while (values.size() > before);
  return values;
}

} // namespace moec::codegen
