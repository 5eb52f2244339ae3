#include "codegen/analysis/LayerPlan.h"

#include "llvm/ADT/DenseSet.h"
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

/// The products that `rows` are made from by the ops behind them, in the order of the body.
llvm::SmallVector<mlir::Operation*> productsBehind(mlir::Value rows) {
  llvm::SmallVector<mlir::Operation*> found;
  llvm::SmallVector<mlir::Value> open{rows};
  llvm::DenseSet<mlir::Operation*> seen;
  while (!open.empty()) {
    mlir::Operation* op = open.pop_back_val().getDefiningOp();
    if (!op || !seen.insert(op).second)
      continue;
    if (mlir::isa<ir::GroupedMatmulOp>(op))
      found.push_back(op);
    else if (ir::isElementwise(op))
      open.append(op->operand_begin(), op->operand_end());
  }
  llvm::sort(found, [](mlir::Operation* a, mlir::Operation* b) { return a->isBeforeInBlock(b); });
  return found;
}

/// What is made of a product's result alone, as far as one op behind another goes.
mlir::Value madeAlone(mlir::Value value) {
  while (value.hasOneUse()) {
    mlir::Operation* user = *value.user_begin();
    bool isAlone =
        ir::isElementwise(user) && llvm::all_of(user->getOperands(), [&](mlir::Value operand) { return operand == value || productsBehind(operand).empty(); });
    if (!isAlone)
      break;
    value = user->getResult(0);
  }
  return value;
}

} // namespace

mlir::LogicalResult LayerPlan::addProducts(ir::KernelOp kernel) {
  for (ir::GroupedMatmulOp op : kernel.getBody().getOps<ir::GroupedMatmulOp>()) {
    auto w = operandOf(kernel, op.getW());
    if (failed(w))
      return mlir::failure();
    if (!w->columns.constant() || !w->depth.constant())
      return kernel.emitOpError("multiplies by matrices of ")
             << w->columns.str() << " x " << w->depth.str() << ": a moe_layer needs sizes that are known at compile time";
    LayerProduct product{op, false, op.getRows(), 0, *w, {}, {}};
    if (auto dispatch = op.getRows().getDefiningOp<ir::DispatchOp>()) {
      if (failed(inputOf(kernel, dispatch.getX(), "x of the dispatch")))
        return mlir::failure();
      product.rows = dispatch.getX();
      product.gathered = true;
    }
    products.push_back(product);
  }
  llvm::SmallVector<mlir::Value> wanted{combine.getRows()};
  for (const LayerProduct& product : products)
    if (!product.gathered)
      wanted.push_back(product.rows);
  for (mlir::Value rows : wanted) {
    llvm::SmallVector<mlir::Operation*> behind = productsBehind(rows);
    if (behind.empty())
      return kernel.emitOpError("of kind \"moe_layer\" combines rows that no dispatch and product make: not supported");
    for (mlir::Operation* op : behind) {
      auto product = llvm::find_if(products, [&](LayerProduct& one) { return one.op.getOperation() == op; });
      mlir::Value sink = op == behind.back() ? rows : madeAlone(op->getResult(0));
      if (product->sink && product->sink != sink)
        return kernel.emitOpError("of kind \"moe_layer\" has a product whose rows go two ways: not supported");
      product->sink = sink;
    }
  }
  for (LayerProduct& product : products) {
    if (product.gathered)
      continue;
    auto maker = llvm::find_if(products, [&](const LayerProduct& one) { return one.sink == product.rows && one.op->isBeforeInBlock(product.op); });
    if (maker == products.end())
      return kernel.emitOpError("of kind \"moe_layer\" multiplies rows that no product before leaves: not supported");
    product.from = static_cast<size_t>(maker - products.begin());
  }
  dtype = dtypeOf(combine.getRows());
  for (const LayerProduct& product : products) {
    if (!product.sink)
      return kernel.emitOpError("of kind \"moe_layer\" has a product whose rows nothing combines: not supported");
    for (DType found : {dtypeOf(product.rows), dtypeOf(product.sink)})
      if (found != dtype)
        return kernel.emitOpError("has rows of ") << name(found) << " in a layer of " << name(dtype) << ": a moe_layer needs one dtype";
  }
  return mlir::success();
}

/// Results that are rows of the experts: what the ops behind a product make, besides its sink.
mlir::LogicalResult LayerPlan::addGiven(ir::KernelOp kernel, llvm::ArrayRef<mlir::Operation*> ofExperts) {
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel)->getOperands())) {
    auto number = static_cast<unsigned>(i);
    if (!llvm::is_contained(ofExperts, value.getDefiningOp()) || llvm::is_contained(results, number))
      continue;
    llvm::SmallVector<mlir::Operation*> behind = productsBehind(value);
    auto product = llvm::find_if(products, [&](LayerProduct& one) { return !behind.empty() && one.op.getOperation() == behind.back(); });
    if (product == products.end())
      return kernel.emitOpError("of kind \"moe_layer\" gives rows away that no product makes: not supported");
    product->given.push_back(number);
  }
  return mlir::success();
}

/// What stands behind a product is made of its rows, of what products before leave, and of values that need no product: a backend computes it element by
/// element.
mlir::LogicalResult LayerPlan::checkRows(ir::KernelOp kernel) const {
  for (const LayerProduct& product : products) {
    llvm::SmallVector<mlir::Value> open{product.sink};
    for (unsigned number : product.given)
      open.push_back(yieldOf(kernel)->getOperand(number));
    llvm::DenseSet<mlir::Value> seen;
    while (!open.empty()) {
      mlir::Value value = open.pop_back_val();
      bool isLeft = llvm::any_of(products, [&](const LayerProduct& before) { return before.op->isBeforeInBlock(product.op) && before.sink == value; });
      if (!seen.insert(value).second || value == ir::GroupedMatmulOp(product.op).getResult() || isLeft)
        continue;
      mlir::Operation* op = value.getDefiningOp();
      if (op && ir::isElementwise(op))
        open.append(op->operand_begin(), op->operand_end());
      else if (op && !mlir::isa<ir::ConstantOp, ir::ExpertRowsOp, ir::RandomOp>(op))
        return kernel.emitOpError("of kind \"moe_layer\" has ") << op->getName() << " behind a product: not supported";
    }
  }
  return mlir::success();
}

bool LayerPlan::isChain() const {
  for (size_t i = 0; i < products.size(); ++i)
    if (products[i].gathered != (i == 0) || (i > 0 && products[i].from != i - 1))
      return false;
  return true;
}

/// Experts read arguments, their own values and constants; of the gate's values only the routing and the weights, which stand in memory.
mlir::LogicalResult LayerPlan::checkValues(ir::KernelOp kernel, llvm::ArrayRef<mlir::Operation*> ofExperts) const {
  auto isOfExperts = [&](mlir::Operation* op) { return llvm::is_contained(ofExperts, op); };
  for (mlir::Operation* op : ofExperts) {
    for (mlir::Value operand : op->getOperands()) {
      mlir::Operation* from = operand.getDefiningOp();
      bool weights = op == ir::CombineOp(combine).getOperation() && operand == ir::CombineOp(combine).getWeights();
      if (from && !isOfExperts(from) && !weights && operand != routing() && !mlir::isa<ir::ConstantOp, ir::UnpackOp>(from))
        return kernel.emitOpError("of kind \"moe_layer\" has experts that read what ") << from->getName() << " makes in its gate: not supported";
      if (mlir::isa<ir::RoutingType>(operand.getType()) && operand != routing())
        return kernel.emitOpError("of kind \"moe_layer\" has two routings: not supported");
    }
  }
  for (mlir::Value value : yieldOf(kernel)->getOperands())
    if (mlir::isa<ir::RoutingType>(value.getType()) && value != routing())
      return kernel.emitOpError("of kind \"moe_layer\" gives a routing away that is not its experts': not supported");
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
  for (mlir::Operation* op : ofResults)
    if (op != combine->getOperation() && !ir::isElementwise(op))
      return kernel.emitOpError("of kind \"moe_layer\" has ") << op->getName() << " behind its combine: not supported";
  if (failed(plan.addProducts(kernel)) || failed(plan.addGiven(kernel, ofExperts.getArrayRef())) || failed(plan.checkRows(kernel)) ||
      failed(plan.checkValues(kernel, ofExperts.getArrayRef())))
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
