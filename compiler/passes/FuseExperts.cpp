// fuse-experts: dispatch with the experts' first layer, the last layer with combine, and the layers between. Stands behind fuse-gates, which takes the
// weights' ops, and before fuse-matmuls, which must not see the elementwise ops behind combine.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// Adds the product that makes `rows` and what stands between: the bias rows and activations, each used once.
void growBackToProduct(Cluster& cluster, Value rows) {
  Operation* op = rows.getDefiningOp();
  while (op && isFree(op) && rows.hasOneUse() && isElementwise(op)) {
    cluster.add(op);
    rows = op->getOperand(0);
    for (Value operand : op->getOperands()) {
      if (auto table = operand.getDefiningOp<ExpertRowsOp>(); table && table->hasOneUse())
        cluster.add(table);
      else if (isa_and_nonnull<GroupedMatmulOp>(operand.getDefiningOp()) || (operand.getDefiningOp() && isElementwise(operand.getDefiningOp())))
        rows = operand;
    }
    op = rows.getDefiningOp();
  }
  if (auto product = dyn_cast_or_null<GroupedMatmulOp>(op); product && product->hasOneUse()) {
    cluster.add(product);
    // A single layer has no first product of its own to carry the gather.
    if (auto dispatch = product.getRows().getDefiningOp<DispatchOp>(); dispatch && dispatch->hasOneUse())
      cluster.add(dispatch);
  }
}

} // namespace

LogicalResult fuseExperts(func::FuncOp function) {
  for (CombineOp combine : SmallVector<CombineOp>(function.getOps<CombineOp>())) {
    Cluster cluster(combine);
    growBackToProduct(cluster, combine.getRows());
    std::string reason;
    cluster.growForward(combine.getResult(), reason);
    if (failed(cluster.outline("expert_down", reason)))
      return failure();
  }
  for (DispatchOp dispatch : SmallVector<DispatchOp>(function.getOps<DispatchOp>())) {
    Cluster cluster(dispatch);
    std::string reason = "its rows are used by more than one product";
    if (dispatch->hasOneUse())
      if (auto product = dyn_cast<GroupedMatmulOp>(*dispatch->getUsers().begin())) {
        cluster.add(product);
        cluster.growForward(product.getResult(), reason);
      }
    if (failed(cluster.outline("expert_up", reason)))
      return failure();
  }
  for (GroupedMatmulOp product : SmallVector<GroupedMatmulOp>(function.getOps<GroupedMatmulOp>())) {
    Cluster cluster(product);
    std::string reason;
    cluster.growForward(product.getResult(), reason);
    if (failed(cluster.outline("expert_mid", reason)))
      return failure();
  }
  return sortBody(function);
}

} // namespace moec::compiler
