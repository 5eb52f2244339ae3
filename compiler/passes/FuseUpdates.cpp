// fuse-updates: what is written to parameters and states comes from kernels of kind `update`, which write in place. All of them are one
// kernel, and what belongs to one parameter (its new value, its moments, the gradient's zeros) hangs together in it. Comes early: the products and norms would
// take the elementwise ops along. A write of a value that is needed elsewhere too, or that no elementwise ops make, copies it.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/Updates.h"

#include "llvm/ADT/EquivalenceClasses.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

bool isScalar(const Sizes& sizes) { return product(sizes) == Size(1); }

/// Whether the op may stand in a kernel of updates of this shape.
bool isUpdateOp(Operation* op) {
  if (!isFree(op) || !isElementwise(op))
    return false;
  Sizes sizes = sizesOf(op->getResult(0));
  return llvm::all_of(op->getOperands(), [&](Value operand) { return sizesOf(operand) == sizes || isScalar(sizesOf(operand)); });
}

/// Whether what is written is the state itself with rows put into it: kernels of kind `append` write them in place.
bool appendsInPlace(WriteOp write) {
  auto append = write.getValue().getDefiningOp<AppendOp>();
  auto read = append ? append.getCache().getDefiningOp<ReadOp>() : nullptr;
  return read && read.getState() == write.getState() && write.getValue().hasOneUse();
}

class Updates {
public:
  explicit Updates(func::FuncOp function) : function_(function) {}

  LogicalResult run() {
    collect();
    join();
    for (WriteOp write : SmallVector<WriteOp>(function_.getOps<WriteOp>()))
      if (Operation* maker = write.getValue().getDefiningOp(); !maker || !(ops_.contains(maker) || appendsInPlace(write)))
        copyInto(write);
    SmallVector<SmallVector<Operation*>> groups;
    for (const auto* leader : classes_)
      if (leader->isLeader())
        groups.emplace_back(classes_.member_begin(*leader), classes_.member_end());
    // In the order of the function, whatever the order of addresses.
    for (auto& group : groups)
      llvm::sort(group, [](Operation* a, Operation* b) { return a->isBeforeInBlock(b); });
    llvm::sort(groups, [](const auto& a, const auto& b) { return a.front()->isBeforeInBlock(b.front()); });
    for (auto& group : groups)
      if (failed(outline(group)))
        return failure();
    return success();
  }

private:
  /// The ops that lead to writes alone, in one shape.
  void collect() {
    for (Operation& op : llvm::reverse(function_.getBody().front())) {
      if (!isUpdateOp(&op) || op.use_empty())
        continue;
      Sizes sizes = sizesOf(op.getResult(0));
      int64_t writes = llvm::count_if(op.getUsers(), [](Operation* user) { return isa<WriteOp>(user); });
      bool onlyUpdates =
          llvm::all_of(op.getUsers(), [&](Operation* user) { return isa<WriteOp>(user) || (ops_.contains(user) && sizesOf(user->getResult(0)) == sizes); });
      if (onlyUpdates && writes <= 1)
        ops_.insert(&op);
    }
  }

  /// Ops that hang together: each with what it reads in its own shape, and with what else reads that.
  void join() {
    llvm::DenseMap<Value, Operation*> readers;
    for (Operation* op : ops_) {
      classes_.insert(op);
      for (Value operand : op->getOperands()) {
        Operation* maker = operand.getDefiningOp();
        if (maker && ops_.contains(maker))
          classes_.unionSets(op, maker);
        else if (sizesOf(operand) == sizesOf(op->getResult(0)))
          classes_.unionSets(op, readers.try_emplace(operand, op).first->second);
      }
    }
  }

  LogicalResult outline(ArrayRef<Operation*> group) {
    Cluster cluster(group.back());
    for (Operation* op : group)
      cluster.add(op);
    return cluster.outline("update", "parameters and states are written in place, when all has read them");
  }

  void copyInto(WriteOp write) {
    OpBuilder builder(write);
    write.getValueMutable().assign(copyOf(write.getValue(), write.getState(), write.getLoc(), builder));
  }

  func::FuncOp function_;
  llvm::SetVector<Operation*> ops_;
  llvm::EquivalenceClasses<Operation*> classes_;
};

/// All reads of a state give what it was before the function: one is enough, and shows which updates read the same.
void readOnce(func::FuncOp function) {
  std::map<StringRef, ReadOp> first;
  for (ReadOp read : llvm::make_early_inc_range(function.getOps<ReadOp>()))
    if (auto [known, isNew] = first.try_emplace(read.getState(), read); !isNew) {
      read.getResult().replaceAllUsesWith(known->second.getResult());
      read.erase();
    }
}

} // namespace

LogicalResult fuseUpdates(func::FuncOp function) {
  if (function.getOps<WriteOp>().empty())
    return success();
  readOnce(function);
  if (failed(Updates(function).run()) || failed(sortBody(function)))
    return failure();
  breakCycles(function);
  if (failed(sortBody(function)) || failed(joinUpdates(function)))
    return failure();
  return sortBody(function);
}

} // namespace moec::compiler
