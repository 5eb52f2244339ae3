// fuse-attention: attention reads q, k and v where the projection left them. Must come before fuse-loops, which would copy the slices.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

LogicalResult fuseAttention(func::FuncOp function) {
  for (AttentionOp attention : SmallVector<AttentionOp>(function.getOps<AttentionOp>())) {
    Cluster cluster(attention);
    for (Value operand : {attention.getQ(), attention.getK(), attention.getV()})
      if (auto slice = operand.getDefiningOp<SliceOp>();
          slice && slice->hasOneUse() && static_cast<int64_t>(slice.getAxis()) + 1 == cast<RankedTensorType>(slice.getX().getType()).getRank())
        cluster.add(slice);
    if (failed(cluster.outline("attention", "its result is the next projection's input")))
      return failure();
  }
  return sortBody(function);
}

} // namespace moec::compiler
