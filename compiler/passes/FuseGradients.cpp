// fuse-gradients: the ops of the backward part that are no product, row or loop by themselves, each with the elementwise ops behind it; the gradient of
// experts' weights with that of their biases, which reads the same rows. Stands before fuse-rows and fuse-loops, which would take those ops or have no kind for
// these.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

LogicalResult fuse(Operation* root, StringRef kind) {
  Cluster cluster(root);
  if (auto gradient = dyn_cast<GroupedWeightGradOp>(root))
    for (Operation* user : gradient.getDy().getUsers())
      if (auto sums = dyn_cast<ExpertSumsOp>(user); sums && isFree(user) && sums.getRouting() == gradient.getRouting())
        cluster.addIfConvex(user);
  std::string reason;
  cluster.growForward(root->getResult(0), reason);
  return cluster.outline(kind, reason);
}

} // namespace

LogicalResult fuseGradients(func::FuncOp function) {
  for (GroupedWeightGradOp gradient : SmallVector<GroupedWeightGradOp>(function.getOps<GroupedWeightGradOp>()))
    if (failed(fuse(gradient, "weight_grad")))
      return failure();
  SmallVector<Operation*> sums;
  for (Operation& op : function.getBody().front())
    if (isa<EmbeddingGradOp, RelativeBiasGradOp, ExpertSumsOp>(op))
      sums.push_back(&op);
  for (Operation* sum : sums)
    if (failed(fuse(sum, "sums")))
      return failure();
  return sortBody(function);
}

} // namespace moec::compiler
