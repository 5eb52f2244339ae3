// fuse-attention: attention and its gradient read q, k and v where the projection left them, and make the draws of a dropout themselves; what is appended to
// kept keys and values comes from there too, and the gradients of q, k and v go where the projection's gradient is read. Must come before fuse-loops and
// fuse-rows, which would copy the slices and write the draws.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

bool isColumns(SliceOp slice) { return static_cast<int64_t>(slice.getAxis()) + 1 == cast<RankedTensorType>(slice.getX().getType()).getRank(); }

/// Adds the slices along the last axis that an op reads, each by itself: columns are no work, whoever else reads them.
void addSlices(Cluster& cluster, MutableArrayRef<OpOperand> operands) {
  for (OpOperand& operand : operands)
    if (auto slice = operand.get().getDefiningOp<SliceOp>(); slice && isColumns(slice))
      cluster.addOwn(operand);
}

/// Adds the random op whose draws an op reads: for that op alone, since they would fill memory of the scores' size for others.
void addDraws(Cluster& cluster, MutableOperandRange draws) {
  for (OpOperand& operand : draws)
    if (operand.get().getDefiningOp<RandomOp>())
      cluster.addOwn(operand);
}

/// Adds the op that joins the gradients of q, k and v, or of those two alone that come from one projection, along the last axis and alone reads them: the
/// kernel writes each to its columns.
bool addJoin(Cluster& cluster, AttentionGradOp gradient) {
  Value dk = gradient.getDk();
  auto concat = dk.hasOneUse() ? dyn_cast<ConcatOp>(*dk.getUsers().begin()) : nullptr;
  if (!concat || static_cast<int64_t>(concat.getAxis()) + 1 != cast<RankedTensorType>(concat.getType()).getRank())
    return false;
  bool areGradients = llvm::all_of(concat.getXs(), [&](Value x) { return x.hasOneUse() && (x == gradient.getDq() || x == dk || x == gradient.getDv()); });
  return areGradients && concat.getXs().size() >= 2 && cluster.add(concat);
}

/// The appends of one attention in one kernel: the same rows of both states.
LogicalResult fuseAppends(func::FuncOp function) {
  SmallVector<AppendOp> left(function.getOps<AppendOp>());
  while (!left.empty()) {
    AppendOp first = left.front();
    auto belongs = [&](AppendOp other) {
      return pathOf(other.getLoc()) == pathOf(first.getLoc()) && other.getPosition() == first.getPosition() &&
             other.getRows().getType() == first.getRows().getType() && other.getCache().getType() == first.getCache().getType();
    };
    SmallVector<AppendOp> members = llvm::filter_to_vector(left, belongs);
    left = llvm::filter_to_vector(left, [&](AppendOp append) { return !llvm::is_contained(members, append); });
    Cluster cluster(first);
    for (AppendOp append : members) {
      cluster.add(append);
      addSlices(cluster, append->getOpOperands().slice(1, 1)); // rows
    }
    if (failed(cluster.outline("append", "states are written in place, when all has read them")))
      return failure();
  }
  return success();
}

} // namespace

LogicalResult fuseAttention(func::FuncOp function) {
  for (CachedAttentionOp attention : SmallVector<CachedAttentionOp>(function.getOps<CachedAttentionOp>())) {
    Cluster cluster(attention);
    addSlices(cluster, attention->getOpOperands().take_front(3)); // q, k, v
    if (failed(cluster.outline("cached_attention", "its result is the next projection's input")))
      return failure();
  }
  if (failed(fuseAppends(function)))
    return failure();
  for (AttentionOp attention : SmallVector<AttentionOp>(function.getOps<AttentionOp>())) {
    Cluster cluster(attention);
    addSlices(cluster, attention->getOpOperands().take_front(3)); // q, k, v
    addDraws(cluster, attention.getDrawsMutable());
    if (failed(cluster.outline("attention", "its result is the next projection's input")))
      return failure();
  }
  for (AttentionGradOp gradient : SmallVector<AttentionGradOp>(function.getOps<AttentionGradOp>())) {
    Cluster cluster(gradient);
    addSlices(cluster, gradient->getOpOperands().slice(1, 3)); // behind dy
    addDraws(cluster, gradient.getDrawsMutable());
    bool joins = addJoin(cluster, gradient);
    if (failed(cluster.outline("attention_grad", joins ? "its result is the projection's gradient" : "its results are used apart")))
      return failure();
  }
  return sortBody(function);
}

} // namespace moec::compiler
