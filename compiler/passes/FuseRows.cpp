// fuse-rows: norms, softmax and choices with the elementwise ops around them; a row stays in the first-level cache
// between them. Stands behind fuse-matmuls: an activation is cheaper in a product's epilogue.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

void growBackward(Cluster& cluster, Value value, const Sizes& sizes) {
  Operation* op = value.getDefiningOp();
  if (!op || !isFree(op) || !(isElementwise(op) || isa<RandomOp>(op)) || !value.hasOneUse() ||
      sizesOf(value) != sizes || !cluster.add(op))
    return;
  for (Value operand : op->getOperands())
    growBackward(cluster, operand, sizes);
}

} // namespace

LogicalResult fuseRows(func::FuncOp function) {
  SmallVector<Operation*> roots;
  for (Operation& op : function.getOps())
    if (isa<LayerNormOp, SoftmaxOp, SelectOp>(op))
      roots.push_back(&op);
  for (Operation* root : roots) {
    Cluster cluster(root);
    growBackward(cluster, root->getOperand(0), sizesOf(root->getOperand(0)));
    std::string reason = "its results are used apart";
    if (root->getNumResults() == 1)
      cluster.growForward(root->getResult(0), reason);
    if (failed(cluster.outline("rows", reason)))
      return failure();
  }
  return sortBody(function);
}

} // namespace moec::compiler
