#include "compiler/passes/Updates.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// The kernel whose result a value is, seen in any shape.
KernelOp makerOf(Value value) {
  while (auto reshape = value.getDefiningOp<ReshapeOp>())
    value = reshape.getX();
  return value.getDefiningOp<KernelOp>();
}

SmallVector<WriteOp> writesOf(KernelOp kernel) {
  SmallVector<WriteOp> writes;
  for (Value output : kernel.getOutputs())
    for (Operation* user : output.getUsers())
      if (auto write = dyn_cast<WriteOp>(user))
        writes.push_back(write);
  return writes;
}

bool writesState(KernelOp kernel, StringRef state) {
  return llvm::any_of(writesOf(kernel), [&](WriteOp write) { return write.getState() == state; });
}

/// Whether `reader` must stand before `writer`.
bool readsWhatWrites(KernelOp reader, KernelOp writer) {
  return llvm::any_of(reader.getInputs(), [&](Value input) {
    StringRef state = stateOf(input);
    return !state.empty() && writesState(writer, state);
  });
}

/// Takes out of `left` the first kernel that writes nothing that another one still reads; null when there is none.
KernelOp takeNext(SmallVector<KernelOp>& left) {
  auto next = llvm::find_if(
      left, [&](KernelOp kernel) { return llvm::none_of(left, [&](KernelOp other) { return other != kernel && readsWhatWrites(other, kernel); }); });
  KernelOp taken = next == left.end() ? nullptr : *next;
  if (taken)
    left.erase(next);
  return taken;
}

/// Moves all that needs the kernel's results and stands before it behind it, in its order.
void placeUsers(KernelOp kernel) {
  llvm::DenseSet<Operation*> users(kernel->user_begin(), kernel->user_end());
  Operation* behind = kernel;
  for (Operation& op : llvm::make_early_inc_range(*kernel->getBlock())) {
    if (&op == kernel)
      return;
    if (!users.contains(&op) && llvm::none_of(op.getOperands(), [&](Value operand) { return users.contains(operand.getDefiningOp()); }))
      continue;
    users.insert(&op);
    op.moveAfter(behind);
    behind = &op;
  }
}

/// Behind the last kernel that reads what it writes or makes what it reads: its rows need not live to the function's end.
void placeEarly(KernelOp early, func::FuncOp function) {
  Operation* last = nullptr;
  for (KernelOp kernel : function.getOps<KernelOp>())
    if (kernel != early && (readsWhatWrites(kernel, early) || llvm::any_of(early.getInputs(), [&](Value input) { return makerOf(input) == kernel; })))
      last = kernel;
  if (!last)
    return;
  early->moveAfter(last);
  // Views of what it reads may stand further down.
  for (Value input : early.getInputs())
    if (Operation* view = input.getDefiningOp(); view && early->isBeforeInBlock(view))
      early->moveAfter(view);
  last = early;
  for (WriteOp write : writesOf(early)) {
    write->moveAfter(last);
    last = write;
  }
}

/// Does each result of an append kernel become the state that its cache is? It writes the new rows alone.
bool writesWhereItAppends(KernelOp kernel) {
  for (auto [output, value] : llvm::zip(kernel.getOutputs(), kernel.getBody().front().getTerminator()->getOperands())) {
    auto append = value.getDefiningOp<AppendOp>();
    auto cache = append ? dyn_cast<BlockArgument>(append.getCache()) : BlockArgument();
    WriteOp write = writeOf(output);
    if (!cache || !write || stateOf(kernel.getInputs()[cache.getArgNumber()]) != write.getState())
      return false;
  }
  return true;
}

} // namespace

StringRef stateOf(Value value) {
  while (auto reshape = value.getDefiningOp<ReshapeOp>())
    value = reshape.getX();
  auto read = value.getDefiningOp<ReadOp>();
  return read ? read.getState() : StringRef();
}

WriteOp writeOf(Value output) { return output.hasOneUse() ? dyn_cast<WriteOp>(*output.getUsers().begin()) : nullptr; }

SmallVector<KernelOp> updatesOf(func::FuncOp function) {
  SmallVector<KernelOp> updates;
  for (KernelOp kernel : function.getOps<KernelOp>())
    if (!writesOf(kernel).empty())
      updates.push_back(kernel);
  return updates;
}

Value copyOf(Value value, StringRef label, Location loc, OpBuilder& builder) {
  auto kernel = KernelOp::create(builder, loc, TypeRange{value.getType()}, ValueRange{value}, builder.getStringAttr("update"), builder.getStringAttr(label),
                                 builder.getStringAttr("what is written is needed elsewhere too"), DictionaryAttr());
  OpBuilder::InsertionGuard guard(builder);
  Block* body = builder.createBlock(&kernel.getBody());
  Value argument = body->addArgument(value.getType(), loc);
  YieldOp::create(builder, loc, ValueRange{argument});
  return kernel.getOutputs().front();
}

void breakCycles(func::FuncOp function) {
  SmallVector<KernelOp> left = updatesOf(function);
  while (!left.empty()) {
    if (takeNext(left))
      continue;
    for (WriteOp write : writesOf(left.front())) {
      OpBuilder builder(write);
      write.getValueMutable().assign(copyOf(write.getValue(), write.getState(), write.getLoc(), builder));
    }
    left.erase(left.begin()); // it writes no state now, and its copies read none
  }
}

FailureOr<SmallVector<SmallVector<KernelOp>>> levelsOf(func::FuncOp function) {
  SmallVector<KernelOp> left = updatesOf(function), done;
  SmallVector<SmallVector<KernelOp>> levels;
  llvm::DenseMap<Operation*, size_t> levelOf;
  while (!left.empty()) {
    KernelOp next = takeNext(left);
    if (!next)
      return left.front().emitError("internal: kernels that update parameters read what each other writes");
    size_t level = 0;
    for (KernelOp other : done)
      if (readsWhatWrites(other, next))
        level = std::max(level, levelOf[other] + 1);
    levelOf[next] = level;
    done.push_back(next);
    levels.resize(std::max(levels.size(), level + 1));
    levels[level].push_back(next);
  }
  return levels;
}

LogicalResult placeUpdates(func::FuncOp function) {
  SmallVector<KernelOp> left = updatesOf(function);
  auto comesEarly = [](KernelOp kernel) { return kernel.getKind() == "append" || kernel.getKind() == "weight_update"; };
  for (KernelOp early : llvm::filter_to_vector(left, comesEarly)) {
    placeEarly(early, function);
    placeUsers(early);
  }
  llvm::erase_if(left, comesEarly);
  Operation* end = function.getBody().front().getTerminator();
  while (!left.empty()) {
    KernelOp next = takeNext(left);
    if (!next)
      return left.front().emitError("internal: kernels that update parameters read what each other writes");
    next->moveBefore(end);
    for (WriteOp write : writesOf(next))
      write->moveBefore(end);
  }
  return success();
}

LogicalResult verifyUpdates(func::FuncOp function, bool placed) {
  for (WriteOp write : function.getOps<WriteOp>()) {
    auto kernel = write.getValue().getDefiningOp<KernelOp>();
    static constexpr StringRef writers[] = {"update", "weight_update", "append"};
    if (!kernel || !llvm::is_contained(writers, kernel.getKind()) || !write.getValue().hasOneUse())
      return write.emitError("what is written to @") << write.getState()
                                                     << " must be a result of an 'update', 'weight_update' or 'append' kernel that nothing else uses";
    if (kernel.getKind() != "weight_update" && writesOf(kernel).size() != kernel.getNumResults())
      return kernel.emitError("a kernel that updates a state must write all its results to states");
    for (Value input : kernel.getInputs())
      if (stateOf(input) == write.getState() && sizesOf(input) != sizesOf(write.getValue()))
        return kernel.emitError("an update of @") << write.getState() << " must read it element by element";
    for (KernelOp other : function.getOps<KernelOp>())
      if (placed && other != kernel && kernel->isBeforeInBlock(other) && readsWhatWrites(other, kernel))
        return other.emitError("reads @") << write.getState() << ", which a kernel before it has updated";
  }
  for (KernelOp kernel : function.getOps<KernelOp>()) {
    if (kernel.getKind() == "append" && !writesWhereItAppends(kernel))
      return kernel.emitError("an 'append' kernel must write each result to the state that it appends to");
    if (kernel.getKind() == "weight_update" && writesOf(kernel).empty())
      return kernel.emitError("a 'weight_update' kernel must write a result to a state");
  }
  return success();
}

} // namespace moec::compiler
