// fuse-experts: dispatch with the experts' first layer, the last layer with combine, and the layers between. Stands behind fuse-gates, which takes the
// weights' ops, and before fuse-matmuls, which must not see the elementwise ops behind combine. A dispatch that no product reads alone, and a combine of
// rows that no product made, are left for fuse-rows.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// The ops on the way from the product that makes `rows`: elementwise ones, each used once, and the product. Empty without one.
SmallVector<Operation*> wayBackToProduct(Value rows) {
  Operation* op = rows.getDefiningOp();
  if (!op || !isFree(op) || !rows.hasOneUse())
    return {};
  if (isa<GroupedMatmulOp>(op))
    return {op};
  if (!isElementwise(op))
    return {};
  for (Value operand : op->getOperands())
    if (sizesOf(operand) == sizesOf(rows))
      if (SmallVector<Operation*> way = wayBackToProduct(operand); !way.empty()) {
        way.push_back(op);
        return way;
      }
  return {};
}

/// Adds the product that makes `rows` and what stands between: the bias rows and activations, each used once.
bool growBackToProduct(Cluster& cluster, Value rows) {
  SmallVector<Operation*> way = wayBackToProduct(rows);
  if (way.empty())
    return false;
  for (Operation* op : way) {
    cluster.add(op);
    for (Value operand : op->getOperands())
      if (auto table = operand.getDefiningOp<ExpertRowsOp>(); table && table->hasOneUse())
        cluster.add(table);
  }
  auto product = cast<GroupedMatmulOp>(way.front());
  cluster.addExchange(product.getWMutable());
  // A single layer has no first product of its own to carry the gather.
  if (auto dispatch = product.getRows().getDefiningOp<DispatchOp>(); dispatch && dispatch->hasOneUse())
    cluster.add(dispatch);
  return true;
}

/// Products and norms gather for themselves: a read by the list costs no more than one of gathered rows, whose copy nobody then needs.
void gatherWhereRead(func::FuncOp function) {
  for (DispatchOp dispatch : SmallVector<DispatchOp>(function.getOps<DispatchOp>()))
    for (OpOperand& use : llvm::make_early_inc_range(dispatch.getResult().getUses()))
      if (!dispatch->hasOneUse() && isa<GroupedMatmulOp, LayerNormOp, RmsNormOp>(use.getOwner())) {
        OpBuilder builder(dispatch);
        use.set(builder.clone(*dispatch)->getResult(0));
      }
}

} // namespace

LogicalResult fuseExperts(func::FuncOp function) {
  gatherWhereRead(function);
  for (CombineOp combine : SmallVector<CombineOp>(function.getOps<CombineOp>())) {
    Cluster cluster(combine);
    if (!growBackToProduct(cluster, combine.getRows()))
      continue; // fuse-rows takes it
    std::string reason;
    cluster.growForward(combine.getResult(), reason);
    if (failed(cluster.outline("expert_down", reason)))
      return failure();
  }
  for (GroupedMatmulOp product : SmallVector<GroupedMatmulOp>(function.getOps<GroupedMatmulOp>())) {
    Cluster cluster(product);
    cluster.addExchange(product.getWMutable());
    auto dispatch = product.getRows().getDefiningOp<DispatchOp>();
    if (dispatch && dispatch->hasOneUse())
      cluster.add(dispatch);
    else
      dispatch = nullptr;
    std::string reason;
    cluster.growForward(product.getResult(), reason);
    if (failed(cluster.outline(dispatch ? "expert_up" : "expert_mid", reason)))
      return failure();
  }
  return sortBody(function);
}

} // namespace moec::compiler
