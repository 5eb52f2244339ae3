// fuse-loops: what is left (changes of shape, embeddings, elementwise ops by themselves, reductions), each with the
// producers that only it uses. Comes last. A reshape that stands alone is no work: it stays outside as another view of
// its operand's buffer.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

bool isLoopOp(Operation* op) {
  return isElementwise(op) ||
         isa<ReshapeOp, TransposeOp, SliceOp, SliceAtOp, ConcatOp, BroadcastOp, EmbeddingOp, ReduceOp, RandomOp, RelativeBiasOp, RotaryOp>(op);
}

/// Whether something other than views stands above a value, for which it pays to take the views along.
bool endsInWork(Value value) {
  Operation* op = value.getDefiningOp();
  while (op && isa<ReshapeOp>(op) && op->hasOneUse())
    op = op->getOperand(0).getDefiningOp();
  return op && isFree(op) && isLoopOp(op) && !isa<ReshapeOp>(op) && op->hasOneUse();
}

/// All that reads the op's result belongs to the cluster.
bool feedsOnly(Operation* op, const Cluster& cluster) {
  return llvm::all_of(op->getUsers(), [&](Operation* user) { return cluster.contains(user); });
}

/// Ops of one kernel: a sum over all parameters has more terms than a launch may have arguments.
constexpr size_t kMostOps = 128;

/// Takes producers along as long as nothing else needs them. A reduction stays outside, unless each of its elements is
/// read once: computed again for every element that reads it, its work would multiply. `once`: an element of `op` is
/// computed for one element of the kernel's result.
void growBackward(Cluster& cluster, Operation* op, bool once) {
  for (Value operand : op->getOperands()) {
    Operation* producer = operand.getDefiningOp();
    if (!producer || !isFree(producer) || !isLoopOp(producer) || cluster.contains(producer) || !feedsOnly(producer, cluster) || cluster.size() >= kMostOps)
      continue;
    bool readOnce = once && isElementwise(op) && sizesOf(operand) == sizesOf(op->getResult(0));
    if (isa<ReduceOp>(producer) && !(readOnce && operand.hasOneUse()))
      continue;
    if (isa<ReshapeOp>(producer) && !endsInWork(producer->getOperand(0)))
      continue;
    cluster.add(producer);
    growBackward(cluster, producer, readOnce);
  }
}

} // namespace

LogicalResult fuseLoops(func::FuncOp function) {
  SmallVector<Operation*> candidates;
  for (Operation& op : llvm::reverse(function.getBody().front()))
    if (isFree(&op) && !isa<ReshapeOp, ConstantOp, SizeOp>(op))
      candidates.push_back(&op);
  llvm::DenseSet<Operation*> done;
  for (Operation* op : candidates) {
    if (done.contains(op))
      continue;
    if (!isLoopOp(op))
      return op->emitError("internal: no kernel kind takes a '") << op->getName() << "' that stands by itself";
    Cluster cluster(op);
    growBackward(cluster, op, true);
    for (Operation* other : candidates)
      if (cluster.contains(other))
        done.insert(other);
    std::string reason = op->hasOneUse() ? "followed by " + nameInWords(*op->getUsers().begin()) : "its result is used more than once";
    if (failed(cluster.outline("loops", reason)))
      return failure();
  }
  // What is read outside of kernels: an output, what a state becomes. A size is a kernel's operand too, where the kernel is none of loops or rows.
  SmallVector<Operation*> numbers;
  for (Operation& op : function.getOps())
    if (isa<ConstantOp, SizeOp>(op))
      numbers.push_back(&op);
  for (Operation* number : numbers)
    if (number->use_empty())
      number->erase();
    else if (failed(Cluster(number).outline("loops", isa<SizeOp>(number) ? "its result is a size" : "its result is a constant")))
      return failure();
  return sortBody(function);
}

} // namespace moec::compiler
