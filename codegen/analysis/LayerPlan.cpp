#include "codegen/analysis/LayerPlan.h"

#include "llvm/ADT/SetVector.h"

namespace moec::codegen {

namespace {

using OpSet = llvm::SetVector<mlir::Operation*>;

/// The ops that begin, and all that is computed from them.
OpSet forwardOf(mlir::Block& body, llvm::function_ref<bool(mlir::Operation*)> begins) {
  OpSet ops;
  for (mlir::Operation& op : body.without_terminator())
    if (begins(&op) || llvm::any_of(op.getOperands(), [&](mlir::Value operand) { return ops.contains(operand.getDefiningOp()); }))
      ops.insert(&op);
  return ops;
}

/// The product that `rows` are made from by the ops behind it.
ir::GroupedMatmulOp productBehind(mlir::Value rows) {
  llvm::SmallVector<mlir::Value> open{rows};
  while (!open.empty()) {
    mlir::Operation* op = open.pop_back_val().getDefiningOp();
    if (auto product = mlir::dyn_cast_or_null<ir::GroupedMatmulOp>(op))
      return product;
    if (op && ir::isElementwise(op))
      open.append(op->operand_begin(), op->operand_end());
  }
  return {};
}

} // namespace

mlir::LogicalResult LayerPlan::addProducts(ir::KernelOp kernel) {
  mlir::Value rows = combine.getRows();
  for (bool gathered = false; !gathered;) {
    ir::GroupedMatmulOp op = productBehind(rows);
    if (!op)
      return kernel.emitOpError("of kind \"moe_layer\" combines rows that no dispatch and product make: not supported");
    auto w = operandOf(kernel, op.getW());
    if (failed(w))
      return mlir::failure();
    if (!w->columns.constant() || !w->depth.constant())
      return kernel.emitOpError("multiplies by matrices of ")
             << w->columns.str() << " x " << w->depth.str() << ": a moe_layer needs sizes that are known at compile time";
    LayerProduct product{op, false, op.getRows(), *w, rows};
    if (auto dispatch = op.getRows().getDefiningOp<ir::DispatchOp>()) {
      if (failed(inputOf(kernel, dispatch.getX(), "x of the dispatch")))
        return mlir::failure();
      product.rows = dispatch.getX();
      product.gathered = gathered = true;
    }
    products.insert(products.begin(), product);
    rows = op.getRows();
  }
  dtype = dtypeOf(rows);
  for (const LayerProduct& product : products)
    if (dtypeOf(product.sink) != dtype)
      return kernel.emitOpError("makes rows of ") << name(dtypeOf(product.sink)) << " from rows of " << name(dtype) << ": a moe_layer needs one dtype";
  return mlir::success();
}

/// Experts read arguments, their own values and constants; of the gate's values only the routing and the weights, which stand in memory.
mlir::LogicalResult LayerPlan::checkValues(ir::KernelOp kernel, llvm::ArrayRef<mlir::Operation*> ofExperts) const {
  auto isOfExperts = [&](mlir::Operation* op) { return llvm::is_contained(ofExperts, op); };
  for (mlir::Operation* op : ofExperts) {
    if (auto product = mlir::dyn_cast<ir::GroupedMatmulOp>(op); product && !llvm::any_of(products, [&](const LayerProduct& one) { return one.op == product; }))
      return kernel.emitOpError("of kind \"moe_layer\" multiplies its experts' rows side by side: products one behind the other are supported");
    for (mlir::Value operand : op->getOperands()) {
      mlir::Operation* from = operand.getDefiningOp();
      bool weights = op == ir::CombineOp(combine).getOperation() && operand == ir::CombineOp(combine).getWeights();
      if (from && !isOfExperts(from) && !weights && operand != routing() && !mlir::isa<ir::ConstantOp, ir::UnpackOp>(from))
        return kernel.emitOpError("of kind \"moe_layer\" has experts that read what ") << from->getName() << " makes in its gate: not supported";
      if (mlir::isa<ir::RoutingType>(operand.getType()) && operand != routing())
        return kernel.emitOpError("of kind \"moe_layer\" has two routings: not supported");
    }
  }
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel)->getOperands()))
    if (isOfExperts(value.getDefiningOp()) && !llvm::is_contained(results, static_cast<unsigned>(i)))
      return kernel.emitOpError("of kind \"moe_layer\" gives its experts' rows away: not supported");
  return mlir::success();
}

mlir::FailureOr<LayerPlan> LayerPlan::of(ir::KernelOp kernel) {
  auto combine = onlyOp<ir::CombineOp>(kernel);
  if (failed(combine))
    return mlir::failure();
  mlir::Block& body = kernel.getBody().front();
  auto type = mlir::cast<ir::RoutingType>(combine->getRouting().getType());

  OpSet ofExperts = forwardOf(body, [](mlir::Operation* op) { return mlir::isa<ir::DispatchOp, ir::GroupedMatmulOp, ir::ExpertRowsOp, ir::CombineOp>(op); });
  OpSet ofResults = forwardOf(body, [&](mlir::Operation* op) { return op == combine->getOperation(); });
  llvm::SmallVector<mlir::Operation*> ofGate;
  for (mlir::Operation& op : body.without_terminator()) {
    auto inGate = [&](mlir::Operation* user) { return !ofExperts.contains(user) && user != body.getTerminator(); };
    if (!ofExperts.contains(&op) && (!mlir::isa<ir::ConstantOp, ir::UnpackOp>(op) || llvm::any_of(op.getUsers(), inGate)))
      ofGate.push_back(&op);
  }
  auto gate = GatePlan::of(kernel, ofGate, {combine->getRouting()});
  if (failed(gate))
    return mlir::failure();
  LayerPlan plan{*gate, {}, *combine, DType::F32, Size::parse(type.getTokens().getValue().str()), type.getExperts(), type.getChoices(), {}, {}, {}};
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel)->getOperands()))
    if (ofResults.contains(value.getDefiningOp()))
      plan.results.push_back(static_cast<unsigned>(i));
  if (failed(plan.addProducts(kernel)) || failed(plan.checkValues(kernel, ofExperts.getArrayRef())))
    return mlir::failure();
  plan.addWanted(kernel);
  return plan;
}

void LayerPlan::addWanted(ir::KernelOp kernel) {
  auto add = [&](mlir::Value value) {
    if ((gate.isScores(value) || gate.isRowValue(value)) && !llvm::is_contained(wanted, value))
      wanted.push_back(value);
  };
  llvm::for_each(yieldOf(kernel)->getOperands(), add);
  llvm::for_each(gate.routed(), add);
  add(ir::CombineOp(combine).getWeights());
  held.push_back(routing());
  held.append(wanted);
  llvm::erase_if(held, [&](mlir::Value value) { return resultOf(kernel, value).has_value(); });
}

} // namespace moec::codegen
