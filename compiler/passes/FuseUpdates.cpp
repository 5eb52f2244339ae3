// fuse-updates: what is written to parameters and states comes from kernels of kind `update`, which write in place. All that belongs to one parameter
// (its new value, its moments, the gradient's zeros) is one kernel. Comes first: the products and norms would take the elementwise ops along. A write of a
// value that is needed elsewhere too, or that no elementwise ops make, copies it.

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
      bool onlyUpdates = llvm::all_of(op.getUsers(), [&](Operation* user) {
        return isa<WriteOp>(user) || (ops_.contains(user) && sizesOf(user->getResult(0)) == sizes);
      });
      if (onlyUpdates && writes <= 1)
        ops_.insert(&op);
    }
  }

  /// Ops of one kernel: each with what it reads, and with what writes a state that it reads as it is.
  void join() {
    std::map<StringRef, Operation*> writers;
    for (WriteOp write : function_.getOps<WriteOp>())
      if (Operation* maker = write.getValue().getDefiningOp(); maker && ops_.contains(maker))
        writers[write.getState()] = maker;
    for (Operation* op : ops_) {
      classes_.insert(op);
      for (Value operand : op->getOperands()) {
        Operation* maker = operand.getDefiningOp();
        if (maker && ops_.contains(maker))
          classes_.unionSets(op, maker);
        auto read = operand.getDefiningOp<ReadOp>();
        auto writer = read ? writers.find(read.getState()) : writers.end();
        if (writer != writers.end() && sizesOf(operand) == sizesOf(op->getResult(0)))
          classes_.unionSets(op, writer->second);
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

} // namespace

LogicalResult fuseUpdates(func::FuncOp function) {
  if (function.getOps<WriteOp>().empty())
    return success();
  if (failed(Updates(function).run()) || failed(sortBody(function)))
    return failure();
  breakCycles(function);
  return sortBody(function);
}

} // namespace moec::compiler
