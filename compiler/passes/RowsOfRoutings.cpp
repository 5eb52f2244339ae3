#include "compiler/passes/RowsOfRoutings.h"

#include "codegen/analysis/Rows.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// The routing that an operand brings to the rows of a result; null for one that is broadcast over rows, and for one whose rows are all defined.
Value alongRows(Value operand, Value result, const llvm::DenseMap<Value, Value>& routings) {
  Value routing = routings.lookup(operand);
  if (!routing)
    return {};
  Sizes from = sizesOf(operand), to = sizesOf(result);
  bool sameRank = from.size() == to.size() || !isElementwise(result.getDefiningOp());
  return sameRank && !to.empty() && from.front() == to.front() ? routing : Value();
}

/// Sums over experts' rows, which end at the count.
bool endsAtCount(OpOperand& use) {
  if (auto combine = dyn_cast<CombineOp>(use.getOwner()))
    return &use == &combine.getRowsMutable();
  return isa<ExpertSumsOp, GroupedWeightGradOp>(use.getOwner());
}

} // namespace

RowsOfRoutings::RowsOfRoutings(func::FuncOp function) {
  for (Operation& op : function.getBody().front()) {
    if (auto kernel = dyn_cast<KernelOp>(op)) {
      addKernel(kernel);
      continue;
    }
    for (Value result : op.getResults())
      if (Value routing = routingOfRows(result))
        routings_[result] = routing;
  }
}

/// As far as the op that makes it tells.
Value RowsOfRoutings::routingOfRows(Value result) const {
  Operation* op = result.getDefiningOp();
  if (isa<DispatchOp, GroupedMatmulOp, ExpertRowsOp>(op))
    return codegen::routingOf(op);
  if (!isa<RankedTensorType>(result.getType()) || codegen::isRouted(op) || !(codegen::holdsRows(op) || isa<ReshapeOp>(op)))
    return {};
  if (auto where = dyn_cast<WhereOp>(op); where && !alongRows(where.getCondition(), result, routings_)) {
    // As gradients do it: what would be undefined is not chosen.
    Value a = alongRows(where.getA(), result, routings_), b = alongRows(where.getB(), result, routings_);
    return a == b ? a : Value();
  }
  for (Value operand : op->getOperands())
    if (Value routing = alongRows(operand, result, routings_))
      return routing;
  return {};
}

void RowsOfRoutings::addKernel(KernelOp kernel) {
  Block& body = kernel.getBody().front();
  for (auto [argument, input] : llvm::zip(body.getArguments(), kernel.getInputs())) {
    if (isa<RoutingType>(input.getType()))
      outer_[argument] = input;
    if (Value routing = routings_.lookup(input))
      routings_[argument] = routing;
  }
  for (auto [value, output] : llvm::zip(body.getTerminator()->getOperands(), kernel.getOutputs()))
    if (isa<RoutingType>(value.getType()))
      outer_[value] = output;
  for (Operation& op : body.without_terminator())
    for (Value result : op.getResults())
      if (Value routing = routingOfRows(result)) {
        bool isInside = routing.getParentBlock() == &body;
        if (Value known = isInside ? outer_.lookup(routing) : routing)
          routings_[result] = known;
      }
  for (auto [value, output] : llvm::zip(body.getTerminator()->getOperands(), kernel.getOutputs()))
    if (Value routing = routings_.lookup(value))
      routings_[output] = routing;
}

bool RowsOfRoutings::isReadBehindCount(Value value, Value routing) const {
  llvm::DenseSet<Value> seen;
  return isReadBehindCount(value, routing, seen);
}

bool RowsOfRoutings::isReadBehindCount(Value value, Value routing, llvm::DenseSet<Value>& seen) const {
  if (!seen.insert(value).second)
    return false;
  return llvm::any_of(value.getUses(), [&](OpOperand& use) {
    Operation* op = use.getOwner();
    if (auto kernel = dyn_cast<KernelOp>(op))
      return isReadBehindCount(kernel.getBody().getArgument(use.getOperandNumber()), routing, seen);
    if (isa<YieldOp>(op))
      return isReadBehindCount(op->getParentOp()->getResult(use.getOperandNumber()), routing, seen);
    if (endsAtCount(use)) {
      Value own = codegen::routingOf(op);
      return outer_.lookup_or(own, own) != routing;
    }
    return op->getNumResults() == 0 || llvm::any_of(op->getResults(), [&](Value result) {
             return routings_.lookup(result) != routing && (!(isElementwise(op) || isa<ReshapeOp>(op)) || isReadBehindCount(result, routing, seen));
           });
  });
}

} // namespace moec::compiler
