// bound-rows: rows of experts lie one behind the other, up to their routing's count; those behind hold nothing, and in a list of experts of several kinds these
// are most. Elementwise ops, norms and what else works row by row are bounded by a routing where they read one. Where they stand alone in a kernel, as between
// two products that could not take them along, the kernel gets the routing as an argument that no op reads, and leaves out the rows behind its count.

#include "codegen/analysis/Rows.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/RowsOfRoutings.h"
#include "ir/ops/Infer.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

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
Value commonRouting(KernelOp kernel, const RowsOfRoutings& rows) {
  Value common = kernel.getNumResults() ? rows.routingOf(kernel.getOutputs().front()) : Value();
  return llvm::all_of(kernel.getOutputs(), [&](Value output) { return rows.routingOf(output) == common; }) ? common : Value();
}

} // namespace

LogicalResult boundRows(func::FuncOp function) {
  RowsOfRoutings rows(function);
  for (auto kernel : function.getOps<KernelOp>()) {
    Value routing = commonRouting(kernel, rows);
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
