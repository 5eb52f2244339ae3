#include "codegen/analysis/GatePlan.h"

#include "codegen/analysis/Rows.h"

namespace moec::codegen {

bool RoutingChain::isGrouped() const { return ir::AssignOp(assign).getGroups() || ir::AssignOp(assign).getWithin(); }

int64_t RoutingChain::offered() const {
  auto op = ir::AssignOp(assign);
  auto experts = static_cast<int64_t>(op.getExperts());
  return op.getWithin() ? experts / mlir::cast<ir::RoutingType>(op.getWithin().getType()).getExperts() : experts;
}

mlir::LogicalResult GatePlan::addProduct(ir::KernelOp kernel, ir::MatmulOp op) {
  auto x = inputOf(kernel, op.getA(), "x of the gate's product");
  auto w = operandOf(kernel, op.getB());
  if (failed(x) || failed(w))
    return mlir::failure();
  if (!w->batch.empty())
    return kernel.emitOpError("of kind \"") << kernel.getKind() << "\" scores by weights of rank " << w->batch.size() + 2 << ": rank 2 is needed";
  dtype = dtypeOf(op.getA());
  products.push_back({op, *x, *w});
  return mlir::success();
}

mlir::LogicalResult GatePlan::addRouting(ir::KernelOp kernel, mlir::Value routing) {
  RoutingChain chain{routing, {}, {}};
  while (auto drop = routing.getDefiningOp<ir::DropOp>()) {
    chain.keeps.push_back(drop.getKeep());
    routing = drop.getRouting();
  }
  chain.assign = routing.getDefiningOp<ir::AssignOp>();
  if (!chain.assign)
    return kernel.emitOpError("of kind \"") << kernel.getKind() << "\" makes a routing that moe.assign does not begin: not supported";
  if (mlir::Value within = ir::AssignOp(chain.assign).getWithin(); within && !mlir::isa<mlir::BlockArgument>(within))
    return kernel.emitOpError("of kind \"") << kernel.getKind() << "\" assigns within a routing that it makes itself: not supported";
  routings.push_back(chain);
  return mlir::success();
}

mlir::FailureOr<GatePlan> GatePlan::of(ir::KernelOp kernel) {
  llvm::SmallVector<mlir::Operation*> ops;
  llvm::SmallVector<mlir::Value> routings;
  for (mlir::Operation& op : kernel.getBody().front().without_terminator())
    ops.push_back(&op);
  for (mlir::Value value : yieldOf(kernel)->getOperands())
    if (mlir::isa<ir::RoutingType>(value.getType()))
      routings.push_back(value);
  return of(kernel, ops, routings);
}

mlir::FailureOr<GatePlan> GatePlan::of(ir::KernelOp kernel, llvm::ArrayRef<mlir::Operation*> ops, llvm::ArrayRef<mlir::Value> routings) {
  GatePlan plan;
  for (mlir::Operation* op : ops) {
    if (auto product = mlir::dyn_cast<ir::MatmulOp>(op)) {
      if (failed(plan.addProduct(kernel, product)))
        return mlir::failure();
    } else if (!mlir::isa<ir::UnpackOp, ir::AssignOp, ir::DropOp>(op)) {
      plan.rowOps.push_back(op);
    }
  }
  for (mlir::Value routing : routings)
    if (failed(plan.addRouting(kernel, routing)))
      return mlir::failure();
  if (plan.routings.size() > 1 &&
      llvm::any_of(plan.routings, [](const RoutingChain& chain) { return static_cast<bool>(ir::AssignOp(chain.assign).getWithin()); }))
    return kernel.emitOpError("of kind \"") << kernel.getKind() << "\" has a routing within another beside a second one: not supported";
  if (!plan.rowOps.empty())
    plan.tokens = ir::product(leadingOfRows(plan.rowOps));
  for (const ScoreProduct& product : plan.products) {
    ir::Sizes sizes = ir::sizesOf(mlir::Value(ir::MatmulOp(product.op).getResult()));
    Size rows = ir::product({sizes.begin(), sizes.end() - 1});
    if (plan.rowOps.empty())
      plan.tokens = rows;
    if (!(rows == plan.tokens))
      return kernel.emitOpError("of kind \"") << kernel.getKind() << "\" multiplies " << rows.str() << " rows where its other ops have " << plan.tokens.str();
  }
  return plan;
}

std::vector<mlir::Value> GatePlan::routed() const {
  std::vector<mlir::Value> values;
  auto add = [&](mlir::Value value) {
    if (!llvm::is_contained(values, value))
      values.push_back(value);
  };
  for (const RoutingChain& chain : routings) {
    add(ir::AssignOp(chain.assign).getIndices());
    if (mlir::Value enters = ir::AssignOp(chain.assign).getKeep())
      add(enters);
    llvm::for_each(chain.keeps, add);
  }
  return values;
}

bool GatePlan::isScores(mlir::Value value) const {
  return llvm::any_of(products, [&](const ScoreProduct& product) { return ir::MatmulOp(product.op).getResult() == value; });
}

bool takesRoutingsApart(ir::KernelOp kernel) { return !kernel.getBody().getOps<ir::ExpertsOfOp>().empty(); }

mlir::FailureOr<std::vector<RoutingPart>> routingPartsOf(ir::KernelOp kernel) {
  std::vector<RoutingPart> parts;
  for (mlir::Value value : yieldOf(kernel)->getOperands()) {
    auto op = value.getDefiningOp<ir::ExpertsOfOp>();
    if (!op)
      return kernel.emitOpError("of kind \"gate\" takes routings apart and computes something else: not supported");
    auto input = inputOf(kernel, op.getRouting(), "the routing of moe.experts_of");
    if (failed(input))
      return mlir::failure();
    parts.push_back({op.getRouting(), value, *input, static_cast<int64_t>(op.getFrom()), static_cast<int64_t>(op.getCount())});
  }
  return parts;
}

std::optional<unsigned> resultOf(ir::KernelOp kernel, mlir::Value value) {
  for (auto [i, yielded] : llvm::enumerate(yieldOf(kernel)->getOperands()))
    if (yielded == value)
      return i;
  return std::nullopt;
}

} // namespace moec::codegen
