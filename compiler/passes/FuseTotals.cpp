// fuse-totals: sums over all elements of many tensors that are added up, as the gradients' norm, in one kernel with what is made of them. Comes before
// fuse-updates: what updates need of the norm is computed here once, and a gradient is read twice, not made twice. Sums that states alone need, as the norm of
// each parameter, are one kernel too. Sums over data stay where they are: their kernels are the loss's.

#include "codegen/analysis/TensorFamilies.h"
#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/Updates.h"

using namespace mlir;
using namespace moec::ir;
using moec::codegen::isNumber;

namespace moec::compiler {

namespace {

/// A sum of all elements of a tensor whose size is known.
bool isTotal(Operation* op) {
  auto reduce = dyn_cast_or_null<ReduceOp>(op);
  return reduce && isFree(op) && reduce.getKind() != ReduceKind::Max && isNumber(reduce.getResult()) && product(sizesOf(reduce.getX())).constant();
}

bool isFreeNumber(Operation* op) { return op && isFree(op) && isElementwise(op) && isNumber(op->getResult(0)); }

/// Of one tensor and numbers: no more to read than its result.
bool isCheap(Operation* op) {
  return llvm::count_if(op->getOperands(), [](Value operand) { return !isNumber(operand); }) == 1;
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

/// Numbers that are made of the sum alone.
void addNumbersBehind(Cluster& cluster) {
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

class Sum {
public:
  explicit Sum(Operation* root) : root_(root) { collect(root->getResult(0)); }

  size_t totals() const {
    return static_cast<size_t>(llvm::count_if(totals_, [](ReduceOp total) { return !isNumber(total.getX()); }));
  }

  /// Null where the sum needs itself in between, or where a launch may not have so many buffers.
  FailureOr<KernelOp> outline() {
    Cluster cluster(root_);
    for (Operation* op : adds_)
      cluster.add(op);
    for (ReduceOp total : totals_) {
      cluster.add(total);
      addMakers(cluster, total->getOpOperand(0));
    }
    if (cluster.buffers() > kMostBuffers || !cluster.isConvex())
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

  Operation* root_;
  SmallVector<Operation*> adds_;
  SmallVector<ReduceOp> totals_;
};

//===--- sums that are not added up ---===//

/// Of all ops, those that only states are made of: no result of the function needs them.
llvm::DenseSet<Operation*> onlyForStates(func::FuncOp function) {
  llvm::DenseSet<Operation*> ops;
  for (Operation& op : llvm::reverse(function.getBody().front()))
    if (isa<WriteOp>(op) || (!op.use_empty() && llvm::all_of(op.getUsers(), [&](Operation* user) { return ops.contains(user); })))
      ops.insert(&op);
  return ops;
}

Cluster clusterOf(ArrayRef<Operation*> sums) {
  Cluster cluster(sums.back());
  for (Operation* op : sums)
    cluster.add(op);
  for (Operation* op : sums)
    addMakers(cluster, op->getOpOperand(0));
  addNumbersBehind(cluster);
  return cluster;
}

/// Those of the sums that need none of the others, in one kernel; as many as have their buffers in a launch.
LogicalResult outlineFirst(ArrayRef<ReduceOp> sums) {
  llvm::DenseSet<Operation*> behind; // what needs a sum
  llvm::SetVector<Operation*> first;
  for (Operation& op : *sums.front()->getBlock()) {
    bool isSum = llvm::is_contained(sums, &op);
    bool needs = llvm::any_of(op.getOperands(), [&](Value operand) { return operand.getDefiningOp() && behind.contains(operand.getDefiningOp()); });
    if (isSum && !needs)
      first.insert(&op);
    if (isSum || needs)
      behind.insert(&op);
  }
  ArrayRef<Operation*> members = first.getArrayRef();
  Cluster cluster = clusterOf(members);
  while (cluster.buffers() > kMostBuffers && members.size() > 1) {
    members = members.drop_back((members.size() + 3) / 4);
    cluster = clusterOf(members);
  }
  auto kernel = cluster.outline("totals", "sums over whole tensors are one launch");
  if (failed(kernel))
    return failure();
  if (members.size() > 1) // of no parameter more than of another
    kernel->setLabel(pathOf((*kernel)->getParentOfType<ModuleOp>().getLoc()));
  return success();
}

/// Norms of single parameters and of their changes, which an optimizer asks for.
LogicalResult fuseSumsOfUpdates(func::FuncOp function) {
  while (true) {
    llvm::DenseSet<Operation*> ofStates = onlyForStates(function);
    SmallVector<ReduceOp> sums;
    for (ReduceOp reduce : function.getOps<ReduceOp>())
      if (isTotal(reduce) && !isNumber(reduce.getX()) && ofStates.contains(reduce))
        sums.push_back(reduce);
    if (sums.size() < 2)
      return success();
    if (failed(outlineFirst(sums)) || failed(sortBody(function)))
      return failure();
  }
}

} // namespace

LogicalResult fuseTotals(func::FuncOp function) {
  // From the end: the last addition of a sum has all its terms before it.
  for (bool found = true; found;) {
    found = false;
    for (Operation& op : llvm::reverse(function.getBody().front())) {
      if (!isFreeNumber(&op) || !isa<AddOp>(op))
        continue;
      Sum sum(&op);
      if (sum.totals() < 2 || sum.totals() > kMostBuffers) // each has a buffer of its own at least
        continue;
      auto kernel = sum.outline();
      if (failed(kernel))
        return failure();
      found = *kernel != nullptr;
      if (found)
        break;
    }
  }
  if (failed(fuseSumsOfUpdates(function)))
    return failure();
  return sortBody(function);
}

} // namespace moec::compiler
