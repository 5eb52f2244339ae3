// join-updates: part of fuse-updates. The updates of all parameters become one launch, with the numbers that they share.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Updates.h"

#include "mlir/IR/IRMapping.h"

#include <set>

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// Updates that become one kernel.
class JoinedUpdate {
public:
  /// `numbers`: ops that updates alone need.
  explicit JoinedUpdate(const llvm::SetVector<Operation*>& numbers) : numbers_(&numbers) {}

  void add(KernelOp kernel) {
    kernels_.push_back(kernel);
    for (Value input : kernel.getInputs())
      addInput(input);
  }

  /// With another kernel's.
  size_t buffersWith(KernelOp kernel) const { return inputs_.size() + outputs() + kernel.getNumOperands() + kernel.getNumResults(); }

  void make() {
    KernelOp last = kernels_.back();
    bool isOne = kernels_.size() == 1;
    if (isOne && own_.empty())
      return;
    OpBuilder builder(last);
    auto function = last->getParentOfType<func::FuncOp>();
    SmallVector<Type> types;
    for (KernelOp kernel : kernels_)
      llvm::append_range(types, kernel.getResultTypes());
    Location loc = isOne ? last.getLoc() : function->getParentOfType<ModuleOp>().getLoc();
    auto joined = KernelOp::create(builder, loc, types, inputs_.getArrayRef(), builder.getStringAttr("update"),
                                   builder.getStringAttr(isOne ? last.getLabel() : pathOf(loc)), last.getReasonAttr(), DictionaryAttr());
    Block* body = builder.createBlock(&joined.getBody());
    IRMapping mapping;
    for (Value input : inputs_)
      mapping.map(input, body->addArgument(input.getType(), input.getLoc()));
    for (Operation* op : *numbers_)
      if (own_.contains(op))
        builder.clone(*op, mapping);
    SmallVector<Value> yielded;
    unsigned result = 0;
    for (KernelOp kernel : kernels_) {
      Block& part = kernel.getBody().front();
      IRMapping own = mapping;
      for (auto [argument, input] : llvm::zip(part.getArguments(), kernel.getInputs()))
        own.map(argument, mapping.lookup(input));
      for (Operation& op : part.without_terminator())
        builder.clone(op, own);
      for (Value value : part.getTerminator()->getOperands())
        yielded.push_back(own.lookup(value));
      for (Value output : kernel.getOutputs())
        output.replaceAllUsesWith(joined.getResult(result++));
    }
    YieldOp::create(builder, loc, yielded);
    for (KernelOp kernel : kernels_)
      kernel.erase();
  }

private:
  void addInput(Value value) {
    Operation* op = value.getDefiningOp();
    if (!op || !numbers_->contains(op)) {
      inputs_.insert(value);
      return;
    }
    if (own_.insert(op).second)
      for (Value operand : op->getOperands())
        addInput(operand);
  }

  size_t outputs() const {
    size_t count = 0;
    for (KernelOp kernel : kernels_)
      count += KernelOp(kernel).getNumResults();
    return count;
  }

  const llvm::SetVector<Operation*>* numbers_;
  SmallVector<KernelOp> kernels_;
  llvm::SetVector<Value> inputs_;
  llvm::DenseSet<Operation*> own_; // of the numbers
};

/// Whether an op reads what the function writes: computed in an update, it might come too late.
bool readsWhatIsWritten(Operation* op, const std::set<StringRef>& written) {
  return llvm::any_of(op->getOperands(), [&](Value operand) { return written.contains(stateOf(operand)); });
}

/// Free ops on single numbers that only updates need, in the order of the function.
llvm::SetVector<Operation*> numbersOf(func::FuncOp function, ArrayRef<KernelOp> updates) {
  llvm::DenseSet<Operation*> users;
  for (KernelOp update : updates)
    users.insert(update);
  std::set<StringRef> written;
  for (WriteOp write : function.getOps<WriteOp>())
    written.insert(write.getState());
  SmallVector<Operation*> found;
  for (Operation& op : llvm::reverse(function.getBody().front())) {
    if (!isFree(&op) || !(isElementwise(&op) || isa<ConstantOp>(op)) || op.use_empty() || !(product(sizesOf(op.getResult(0))) == Size(1)))
      continue;
    if (llvm::all_of(op.getUsers(), [&](Operation* user) { return users.contains(user); }) &&
        llvm::all_of(op.getOperands(), [](Value operand) { return product(sizesOf(operand)) == Size(1); }) && !readsWhatIsWritten(&op, written)) {
      users.insert(&op);
      found.push_back(&op);
    }
  }
  llvm::SetVector<Operation*> numbers;
  numbers.insert(found.rbegin(), found.rend());
  return numbers;
}

} // namespace

LogicalResult joinUpdates(func::FuncOp function) {
  FailureOr<SmallVector<SmallVector<KernelOp>>> levels = levelsOf(function);
  if (failed(levels))
    return failure();
  llvm::SetVector<Operation*> numbers = numbersOf(function, updatesOf(function));
  for (const SmallVector<KernelOp>& level : *levels) {
    SmallVector<JoinedUpdate> parts;
    for (KernelOp kernel : level) {
      if (parts.empty() || parts.back().buffersWith(kernel) > kMostBuffers)
        parts.emplace_back(numbers);
      parts.back().add(kernel);
    }
    for (JoinedUpdate& part : parts)
      part.make();
  }
  for (Operation* op : llvm::reverse(numbers))
    if (op->use_empty())
      op->erase();
  return success();
}

} // namespace moec::compiler
