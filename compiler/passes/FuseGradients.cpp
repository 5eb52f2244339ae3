// fuse-gradients: the ops of the backward part that are no product, row or loop by themselves, each with the elementwise ops behind it. Stands before
// fuse-rows and fuse-loops, which would take those ops or have no kind for these.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

LogicalResult fuseGradients(func::FuncOp function) {
  SmallVector<Operation*> roots;
  for (Operation& op : function.getBody().front())
    if (isa<GroupedWeightGradOp, EmbeddingGradOp, RelativeBiasGradOp, ExpertSumsOp>(op))
      roots.push_back(&op);
  for (Operation* root : roots) {
    Cluster cluster(root);
    std::string reason;
    cluster.growForward(root->getResult(0), reason);
    if (failed(cluster.outline(isa<GroupedWeightGradOp>(root) ? "weight_grad" : "sums", reason)))
      return failure();
  }
  return sortBody(function);
}

} // namespace moec::compiler
