#include "codegen/analysis/LayerGradPlan.h"

namespace moec::codegen {

namespace {

/// Whether `value` is made from `source` by elementwise ops.
bool isMadeFrom(mlir::Value value, mlir::Operation* source) {
  llvm::SmallVector<mlir::Value> open{value};
  llvm::DenseSet<mlir::Value> seen;
  while (!open.empty()) {
    mlir::Value next = open.pop_back_val();
    mlir::Operation* op = next.getDefiningOp();
    if (op && op == source)
      return true;
    if (seen.insert(next).second && op && ir::isElementwise(op))
      open.append(op->operand_begin(), op->operand_end());
  }
  return false;
}

} // namespace

/// The place of a value among the rows that the kernel keeps while it needs them.
mlir::FailureOr<size_t> LayerGradPlan::add(ir::KernelOp kernel, mlir::Value value) {
  for (auto [i, known] : llvm::enumerate(rows))
    if (known.value == value)
      return i;
  ir::Sizes sizes = ir::sizesOf(value);
  std::optional<int64_t> columns = sizes.back().constant();
  if (sizes.size() != 2 || sizes.front() != count || !columns)
    return kernel.emitOpError("of kind \"layer_grad\" makes rows of ") << ir::describe(sizes) << ": not supported";
  if (dtypeOf(value) != dtype)
    return kernel.emitOpError("has rows of ") << name(dtypeOf(value)) << " in a gradient of " << name(dtype) << ": a layer_grad needs one dtype";
  Rows made{value, isMadeFrom(value, gradient) ? Source::Gradient : Source::Product, *columns};
  if (auto dispatch = value.getDefiningOp<ir::DispatchOp>()) {
    auto input = inputOf(kernel, dispatch.getX(), "x of the dispatch");
    if (failed(input))
      return mlir::failure();
    made.source = Source::Tokens;
    made.input = *input;
  }
  if (made.source == Source::Product && *columns != hidden())
    return kernel.emitOpError("of kind \"layer_grad\" makes rows of ") << *columns << " columns behind a product of " << hidden() << ": not supported";
  rows.push_back(made);
  return rows.size() - 1;
}

/// What the choices' gradients are the sums of: the columns of one value, or those of several added up.
mlir::LogicalResult LayerGradPlan::addTerms(ir::KernelOp kernel, mlir::Value sum) {
  if (auto both = sum.getDefiningOp<ir::AddOp>())
    return mlir::success(succeeded(addTerms(kernel, both.getA())) && succeeded(addTerms(kernel, both.getB())));
  auto reduce = sum.getDefiningOp<ir::ReduceOp>();
  if (!reduce || reduce.getKind() != ir::ReduceKind::Sum || reduce.getAxis() != 1)
    return kernel.emitOpError("of kind \"layer_grad\" gives numbers of rows that are no sums of their columns: not supported");
  auto place = add(kernel, reduce.getX());
  if (failed(place))
    return mlir::failure();
  if (rows[*place].source == Source::Tokens || llvm::is_contained(terms, *place))
    return kernel.emitOpError("of kind \"layer_grad\" adds up gathered rows, or one value twice: not supported");
  terms.push_back(*place);
  return mlir::success();
}

mlir::LogicalResult LayerGradPlan::addResult(ir::KernelOp kernel, mlir::Value value, unsigned number) {
  if (auto op = value.getDefiningOp<ir::GroupedWeightGradOp>()) {
    auto dy = add(kernel, op.getDy()), x = add(kernel, op.getRows());
    if (failed(dy) || failed(x))
      return mlir::failure();
    weightGrads.push_back({*dy, *x, number});
    return mlir::success();
  }
  if (auto op = value.getDefiningOp<ir::ExpertSumsOp>()) {
    auto summed = add(kernel, op.getRows());
    if (failed(summed))
      return mlir::failure();
    sums.push_back({*summed, number});
    return mlir::success();
  }
  if (ir::sizesOf(value).size() == 1) {
    if (ofChoices)
      return kernel.emitOpError("of kind \"layer_grad\" gives two numbers of each row: not supported");
    ofChoices = number;
    return addTerms(kernel, value);
  }
  auto place = add(kernel, value);
  if (failed(place))
    return mlir::failure();
  if (rows[*place].source != Source::Product)
    return kernel.emitOpError("of kind \"layer_grad\" gives rows away that are not made behind its product: not supported");
  given.push_back({*place, number});
  return mlir::success();
}

mlir::FailureOr<LayerGradPlan> LayerGradPlan::of(ir::KernelOp kernel) {
  auto product = onlyOp<ir::GroupedMatmulOp>(kernel);
  if (failed(product))
    return mlir::failure();
  LayerGradPlan plan;
  plan.product = *product;
  plan.gradient = product->getRows().getDefiningOp<ir::DispatchOp>();
  if (!plan.gradient)
    return kernel.emitOpError("of kind \"layer_grad\" multiplies rows that no dispatch gathers: not supported");
  auto w = operandOf(kernel, product->getW(), /*mayBeExchanged=*/true);
  auto routing = inputOf(kernel, product->getRouting(), "the routing");
  if (failed(w) || failed(routing))
    return mlir::failure();
  if (!w->columns.constant() || !w->depth.constant())
    return kernel.emitOpError("multiplies by matrices of ")
           << w->columns.str() << " x " << w->depth.str() << ": a layer_grad needs sizes that are known at compile time";
  auto type = mlir::cast<ir::RoutingType>(product->getRouting().getType());
  plan.w = *w;
  plan.routing = *routing;
  plan.dtype = dtypeOf(plan.gradient.getResult());
  plan.experts = type.getExperts();
  plan.choices = type.getChoices();
  plan.count = ir::sizesOf(plan.gradient.getResult()).front();
  for (mlir::Operation& op : kernel.getBody().front())
    for (mlir::Value operand : op.getOperands())
      if (mlir::isa<ir::RoutingType>(operand.getType()) && operand != product->getRouting())
        return kernel.emitOpError("of kind \"layer_grad\" has two routings: not supported");
  for (ir::RowWeightsOp op : kernel.getBody().getOps<ir::RowWeightsOp>()) {
    auto weights = inputOf(kernel, op.getWeights(), "the choices' weights");
    if (failed(weights))
      return mlir::failure();
    if (plan.ofRows || dtypeOf(op.getResult()) != plan.dtype)
      return kernel.emitOpError("of kind \"layer_grad\" reads weights of choices twice, or of another dtype than its rows': not supported");
    plan.ofRows = op;
    plan.weights = *weights;
  }
  if (failed(plan.add(kernel, plan.gradient.getResult())))
    return mlir::failure();
  for (auto [i, value] : llvm::enumerate(yieldOf(kernel)->getOperands()))
    if (failed(plan.addResult(kernel, value, static_cast<unsigned>(i))))
      return mlir::failure();
  return plan;
}

int64_t LayerGradPlan::elements() const {
  int64_t elements = 0;
  for (const WeightGrad& grad : weightGrads)
    elements += rows[grad.dy].columns * rows[grad.x].columns;
  return elements;
}

} // namespace moec::codegen
