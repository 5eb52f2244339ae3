// fuse-totals: sums over all elements of many tensors that are added up, as the gradients' norm, in one kernel with what is made of them. Comes before
// fuse-updates: what updates need of the norm is computed here once, and a gradient is read twice, not made twice. Sums over data stay where they are:
// their kernels are the loss's.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/Updates.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

bool isNumber(Value value) { return product(sizesOf(value)) == Size(1); }

/// A sum of all elements of a tensor whose size is known.
bool isTotal(Operation* op) {
  auto reduce = dyn_cast_or_null<ReduceOp>(op);
  return reduce && isFree(op) && reduce.getKind() != ReduceKind::Max && isNumber(reduce.getResult()) && product(sizesOf(reduce.getX())).constant();
}

bool isFreeNumber(Operation* op) { return op && isFree(op) && isElementwise(op) && isNumber(op->getResult(0)); }

class Sum {
public:
  explicit Sum(Operation* root) : root_(root) { collect(root->getResult(0)); }

  size_t totals() const { return static_cast<size_t>(llvm::count_if(totals_, [](ReduceOp total) { return !isNumber(total.getX()); })); }

  /// Null where the sum needs itself in between.
  FailureOr<KernelOp> outline() {
    Cluster cluster(root_);
    for (Operation* op : adds_)
      cluster.add(op);
    for (ReduceOp total : totals_) {
      cluster.add(total);
      addMakers(cluster, total->getOpOperand(0));
    }
    if (!cluster.isConvex())
      return KernelOp();
    addNumbersBehind(cluster);
    return cluster.outline("totals", "sums over whole tensors are one launch");
  }

private:
  /// The additions and their terms.
  void collect(Value value) {
    Operation* op = value.getDefiningOp();
    bool isOwn = op && (op == root_ || op->hasOneUse());
    if (isOwn && isTotal(op)) {
      totals_.push_back(cast<ReduceOp>(op));
    } else if (isOwn && isFreeNumber(op) && isa<AddOp, CastOp>(op)) {
      adds_.push_back(op);
      for (Value operand : op->getOperands())
        collect(operand);
    }
  }

  /// What a sum's terms are made of for it alone, in the tensor's shape or another; what is cheap is made again.
  void addMakers(Cluster& cluster, OpOperand& operand) {
    Operation* op = operand.get().getDefiningOp();
    if (!op || cluster.contains(op) || !isFree(op) || !(isElementwise(op) || isa<ReshapeOp>(op)))
      return;
    bool isOwn = llvm::all_of(op->getUsers(), [&](Operation* user) { return cluster.contains(user); });
    if (!isOwn && (isNumber(operand.get()) || !(isa<ReshapeOp>(op) || isCheap(op))))
      return;
    for (Value of : op->getOperands())
      if (!isNumber(of) && sizesOf(of) != sizesOf(operand.get()) && !isa<ReshapeOp>(op))
        return; // it broadcasts
    if (!isOwn) {
      OpBuilder builder(op);
      Operation* own = builder.clone(*op);
      Value before = operand.get();
      before.replaceUsesWithIf(own->getResult(0), [&](OpOperand& use) { return cluster.contains(use.getOwner()); });
      op = own;
    }
    cluster.add(op);
    for (OpOperand& next : op->getOpOperands())
      addMakers(cluster, next);
  }

  /// Of one tensor and numbers: no more to read than its result.
  static bool isCheap(Operation* op) { return llvm::count_if(op->getOperands(), [](Value operand) { return !isNumber(operand); }) == 1; }

  /// Numbers that are made of the sum alone.
  static void addNumbersBehind(Cluster& cluster) {
    for (bool changed = true; changed;) {
      changed = false;
      SmallVector<Operation*> next;
      for (Operation* op : cluster.ops())
        for (Operation* user : op->getUsers())
          if (!cluster.contains(user) && isFreeNumber(user) && llvm::all_of(user->getOperands(), [&](Value operand) {
                Operation* maker = operand.getDefiningOp();
                return maker && (cluster.contains(maker) || isa<ConstantOp>(maker));
              }))
            next.push_back(user);
      for (Operation* op : next)
        changed |= cluster.add(op);
    }
  }

  Operation* root_;
  SmallVector<Operation*> adds_;
  SmallVector<ReduceOp> totals_;
};

} // namespace

LogicalResult fuseTotals(func::FuncOp function) {
  // From the end: the last addition of a sum has all its terms before it.
  for (bool found = true; found;) {
    found = false;
    for (Operation& op : llvm::reverse(function.getBody().front())) {
      if (!isFreeNumber(&op) || !isa<AddOp>(op))
        continue;
      Sum sum(&op);
      if (sum.totals() < 2 || sum.totals() > kMostBuffers / 2)
        continue;
      auto kernel = sum.outline();
      if (failed(kernel))
        return failure();
      found = *kernel != nullptr;
      if (found)
        break;
    }
  }
  return sortBody(function);
}

} // namespace moec::compiler
