// bound-rows: rows of experts lie one behind the other, up to their routing's count; those behind hold nothing, and in a list of experts of several kinds these
// are most. Elementwise ops, norms and what else works row by row are bounded by a routing where they read one. Where they stand alone in a kernel, as between
// two products that could not take them along, the kernel gets the routing as an argument that no op reads, and leaves out the rows behind its count.

#include "codegen/analysis/Rows.h"
#include "compiler/passes/Passes.h"
#include "ir/ops/Infer.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// Routings by the values whose rows behind the count are undefined.
using Routings = llvm::DenseMap<Value, Value>;

/// The routing that an operand brings to the rows of a result; null for one that is broadcast over rows, and for one whose rows are all defined.
Value alongRows(Value operand, Value result, const Routings& routings) {
  Value routing = routings.lookup(operand);
  if (!routing)
    return {};
  Sizes from = sizesOf(operand), to = sizesOf(result);
  bool sameRank = from.size() == to.size() || !isElementwise(result.getDefiningOp());
  return sameRank && !to.empty() && from.front() == to.front() ? routing : Value();
}

/// The routing behind whose count the rows of an op's result are undefined, as far as the op tells.
Value routingOfRows(Value result, const Routings& routings) {
  Operation* op = result.getDefiningOp();
  if (isa<DispatchOp, GroupedMatmulOp, ExpertRowsOp>(op))
    return codegen::routingOf(op);
  if (!isa<RankedTensorType>(result.getType()) || codegen::isRouted(op) || !(codegen::holdsRows(op) || isa<ReshapeOp>(op)))
    return {};
  if (auto where = dyn_cast<WhereOp>(op); where && !alongRows(where.getCondition(), result, routings)) {
    // As gradients do it: what would be undefined is not chosen.
    Value a = alongRows(where.getA(), result, routings), b = alongRows(where.getB(), result, routings);
    return a == b ? a : Value();
  }
  for (Value operand : op->getOperands())
    if (Value routing = alongRows(operand, result, routings))
      return routing;
  return {};
}

/// The same of a kernel's results: routings of the function.
void addResults(KernelOp kernel, Routings& routings) {
  Block& body = kernel.getBody().front();
  Routings inside, outer; // `outer`: the function's routing by that of the region
  for (auto [argument, input] : llvm::zip(body.getArguments(), kernel.getInputs())) {
    outer[argument] = input;
    if (Value routing = routings.lookup(input))
      inside[argument] = routing;
  }
  for (auto [value, output] : llvm::zip(body.getTerminator()->getOperands(), kernel.getOutputs()))
    if (isa<RoutingType>(value.getType()))
      outer[value] = output;
  for (Operation& op : body.without_terminator())
    for (Value result : op.getResults())
      if (Value routing = routingOfRows(result, inside)) {
        bool isInside = routing.getParentBlock() == &body;
        if (Value known = isInside ? outer.lookup(routing) : routing)
          inside[result] = known;
      }
  for (auto [value, output] : llvm::zip(body.getTerminator()->getOperands(), kernel.getOutputs()))
    if (Value routing = inside.lookup(value))
      routings[output] = routing;
}

/// Whether a kernel is one over `rows`, or one of loops that may as well be one.
bool isOfRows(KernelOp kernel, const Size& rows) {
  Block& body = kernel.getBody().front();
  std::vector<Operation*> ops;
  for (Operation& op : body.without_terminator())
    ops.push_back(&op);
  if (codegen::leadingOfRows(ops) != Sizes{rows})
    return false;
  if (kernel.getKind() == "rows")
    return true;
  // Loops may take elements from anywhere.
  auto staysInItsRow = [&](Operation* op) {
    Sizes own = sizesOf(op->getResult(0));
    bool isBroadcast = product(own) == Size(1), isRow = own.size() == 2 && own.front() == rows;
    return isa<ConstantOp, SizeOp>(op) || (codegen::holdsRows(op) && !codegen::givesOnePerRow(op) && (isBroadcast || isRow));
  };
  return kernel.getKind() == "loops" && llvm::all_of(ops, staysInItsRow) &&
         llvm::none_of(body.getTerminator()->getOperands(), [](Value value) { return isa<BlockArgument>(value); });
}

/// The routing that all results share; null where one has rows of another, or is defined as a whole.
Value commonRouting(KernelOp kernel, const Routings& routings) {
  Value common = kernel.getNumResults() ? routings.lookup(kernel.getOutputs().front()) : Value();
  return llvm::all_of(kernel.getOutputs(), [&](Value output) { return routings.lookup(output) == common; }) ? common : Value();
}

} // namespace

LogicalResult boundRows(func::FuncOp function) {
  Routings routings;
  for (Operation& op : function.getBody().front()) {
    if (isa<ReshapeOp>(op)) {
      if (Value routing = routingOfRows(op.getResult(0), routings))
        routings[op.getResult(0)] = routing;
      continue;
    }
    auto kernel = dyn_cast<KernelOp>(op);
    if (!kernel)
      continue;
    addResults(kernel, routings);
    Value routing = commonRouting(kernel, routings);
    Block& body = kernel.getBody().front();
    if (!routing || codegen::raggedRouting(body.getTerminator()) || !isOfRows(kernel, rowsOf(cast<RoutingType>(routing.getType()))))
      continue;
    kernel.getInputsMutable().append(routing);
    body.addArgument(routing.getType(), routing.getLoc());
    kernel.setKind("rows");
  }
  return success();
}

} // namespace moec::compiler
