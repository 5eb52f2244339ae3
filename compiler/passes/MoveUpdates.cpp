// move-updates: the update of a weight moves into the kernel that makes its gradient, which becomes one of kind `weight_update`: what is complete of the
// gradient goes through the optimizer's rule at once, and is stored nowhere. So does its sum of squares, of which the norm of all gradients is made. Numbers of
// the step that such kernels read are computed in front of them. Where something else needs the gradient (a factor that clips, sums over many calls, a rule
// that looks at whole rows), or something needs what the kernel gives before the weight is read last, all stays as it is. Stands behind the fusions, which are
// the same for every target, and before choose-schedules: targets without such kernels keep products and one update.

#include "codegen/analysis/TensorFamilies.h"
#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/UpdateRest.h"
#include "compiler/passes/Updates.h"

#include "mlir/IR/IRMapping.h"

#include <set>

using namespace mlir;
using namespace moec::ir;
using moec::codegen::isNumber;

namespace moec::compiler {

namespace {

/// What hangs together with a tensor in a kernel of many tensors (`update`, `totals`).
struct Part {
  SmallVector<Operation*> ops;            // that make tensors, or numbers of whole ones; in order
  llvm::SetVector<BlockArgument> tensors; // arguments
  llvm::SetVector<Value> numbers;         // that the ops read
};

Part partOf(KernelOp kernel, BlockArgument argument) {
  llvm::DenseSet<Value> values{argument};
  llvm::DenseSet<Operation*> ops;
  auto tensorsOf = [](Operation& op) {
    SmallVector<Value> tensors(op.getOperands());
    llvm::append_range(tensors, op.getResults());
    llvm::erase_if(tensors, isNumber);
    return tensors;
  };
  Block& body = kernel.getBody().front();
  for (bool grows = true; grows;) {
    grows = false;
    for (Operation& op : body.without_terminator()) {
      SmallVector<Value> tensors = tensorsOf(op);
      if (ops.contains(&op) || llvm::none_of(tensors, [&](Value value) { return values.contains(value); }))
        continue;
      values.insert(tensors.begin(), tensors.end());
      ops.insert(&op);
      grows = true;
    }
  }
  Part part;
  for (BlockArgument one : body.getArguments())
    if (values.contains(one))
      part.tensors.insert(one);
  for (Operation& op : body.without_terminator())
    if (ops.contains(&op)) {
      part.ops.push_back(&op);
      for (Value operand : op.getOperands())
        if (isNumber(operand))
          part.numbers.insert(operand);
    }
  return part;
}

/// The arguments that numbers of a kernel are made of.
llvm::SetVector<BlockArgument> sourcesOf(const llvm::SetVector<Value>& numbers) {
  llvm::SetVector<Value> seen(numbers);
  llvm::SetVector<BlockArgument> sources;
  for (size_t i = 0; i < seen.size(); ++i)
    if (auto argument = dyn_cast<BlockArgument>(seen[i]))
      sources.insert(argument);
    else
      seen.insert(seen[i].getDefiningOp()->operand_begin(), seen[i].getDefiningOp()->operand_end());
  return sources;
}

/// The argument that stands for a value in a kernel; null where none does, or two.
BlockArgument argumentOf(KernelOp kernel, Value value) {
  BlockArgument found;
  for (auto [argument, input] : llvm::zip(kernel.getBody().front().getArguments(), kernel.getInputs()))
    if (input == value) {
      if (found)
        return {};
      found = argument;
    }
  return found;
}

/// A gradient, the kernel that makes it, and what may move into that.
class MovedUpdate {
public:
  /// `written`: the states that the function writes.
  MovedUpdate(KernelOp maker, OpResult gradient, const std::set<StringRef>& written) : maker_(maker), gradient_(gradient), written_(written) {}

  /// Whether the update can move. Changes nothing.
  bool find();
  KernelOp maker() const { return maker_; }
  const Part& part() const { return part_; }
  /// `numberOf`: a value of the function for a number of the update's body that is computed there.
  void move(llvm::function_ref<Value(Value)> numberOf);

private:
  bool findUsers();
  bool isRule();
  bool isSumOfAll();
  bool comesInTime();

  // The parts of move(), in its order. `yielded`: the results of the new kernel, as they are in its body.
  KernelOp createKernel(OpBuilder& builder);
  /// Gives the gradient.
  Value copyProduct(OpBuilder& builder, SmallVectorImpl<Value>& yielded);
  void copyRule(OpBuilder& builder, Value gradient, llvm::function_ref<Value(Value)> numberOf, SmallVectorImpl<Value>& yielded);
  void copySums(OpBuilder& builder, Value gradient, SmallVectorImpl<Value>& yielded);
  void replaceResults();
  SmallVector<OpResult> othersOfMaker() const; // results beside the gradient
  SmallVector<ReduceOp> sums() const;          // of the gradient's elements, in `totals`

  KernelOp maker_;
  OpResult gradient_;
  const std::set<StringRef>& written_;
  KernelOp update_, totals_, moved_; // moved_: the new one
  Part part_, sum_;                  // of the update and of the totals
  SmallVector<unsigned> outputs_;    // of the update
};

bool MovedUpdate::findUsers() {
  for (Operation* user : gradient_.getUsers()) {
    auto kernel = dyn_cast<KernelOp>(user);
    if (!kernel || kernel.getSchedule() || (kernel.getKind() != "update" && kernel.getKind() != "totals"))
      return false;
    KernelOp& place = kernel.getKind() == "update" ? update_ : totals_;
    if (place && place != kernel)
      return false;
    place = kernel;
  }
  return update_ != nullptr;
}

/// Elementwise ops of the gradient's shape that change a parameter.
bool MovedUpdate::isRule() {
  Operation* made = maker_.getBody().front().getTerminator()->getOperand(gradient_.getResultNumber()).getDefiningOp();
  if (!made || !(isa<MatmulOp, GroupedWeightGradOp>(made) || isElementwise(made)))
    return false; // a sum beside the product
  BlockArgument argument = argumentOf(update_, gradient_);
  bool isRounded = cast<RankedTensorType>(gradient_.getType()).getElementType().isBF16(); // on its way through memory
  if (!argument || isNumber(gradient_) || isRounded)
    return false;
  part_ = partOf(update_, argument);
  Sizes sizes = sizesOf(gradient_);
  for (Operation* op : part_.ops) {
    auto constant = dyn_cast<ConstantOp>(op);
    if (sizesOf(op->getResult(0)) != sizes || !(isElementwise(op) || (constant && isa<SplatElementsAttr>(constant.getValue()))))
      return false;
  }
  // Numbers without a dimension are one kernel.
  if (llvm::any_of(part_.numbers, [](Value number) { return !sizesOf(number).empty(); }))
    return false;
  bool changesParameter = false;
  auto module = maker_->getParentOfType<ModuleOp>();
  for (auto [i, value] : llvm::enumerate(update_.getBody().front().getTerminator()->getOperands())) {
    auto copied = dyn_cast<BlockArgument>(value);
    if (copied && part_.tensors.contains(copied)) // written elsewhere as it was before
      return false;
    if (!llvm::is_contained(part_.ops, value.getDefiningOp()))
      continue;
    WriteOp write = writeOf(update_.getResult(i));
    if (!write)
      return false;
    changesParameter |= module.lookupSymbol<ParameterOp>(write.getState()) != nullptr;
    outputs_.push_back(static_cast<unsigned>(i));
  }
  return changesParameter;
}

/// Sums over all elements of what is made elementwise of the gradient alone.
bool MovedUpdate::isSumOfAll() {
  if (!totals_)
    return true;
  BlockArgument argument = argumentOf(totals_, gradient_);
  if (!argument)
    return false;
  sum_ = partOf(totals_, argument);
  if (sum_.tensors.size() != 1 || llvm::any_of(sum_.numbers, [](Value number) { return !number.getDefiningOp<ConstantOp>(); }))
    return false;
  for (Operation* op : sum_.ops) {
    auto reduce = dyn_cast<ReduceOp>(op);
    if (reduce ? reduce.getKind() != ReduceKind::Sum || sizesOf(reduce.getX()).size() != 1 : !isElementwise(op) && !isa<ReshapeOp>(op))
      return false;
  }
  return true;
}

/// Whether the kernel can stand behind all that reads what it writes: nothing that it needs, and nothing that reads these, needs what it gives.
bool MovedUpdate::comesInTime() {
  llvm::DenseSet<Operation*> behind;
  SmallVector<Operation*> work{maker_};
  while (!work.empty())
    for (Operation* user : work.pop_back_val()->getUsers())
      if (user != update_ && behind.insert(user).second)
        work.push_back(user);
  auto isBehind = [&](Value value) { return behind.contains(value.getDefiningOp()); };
  for (BlockArgument tensor : part_.tensors)
    if (tensor != argumentOf(update_, gradient_) && isBehind(update_.getInputs()[tensor.getArgNumber()]))
      return false;
  for (BlockArgument source : sourcesOf(part_.numbers))
    if (Value input = update_.getInputs()[source.getArgNumber()]; isBehind(input) || written_.contains(stateOf(input)))
      return false;
  auto readsWritten = [&](KernelOp kernel) { return llvm::any_of(kernel.getInputs(), [&](Value input) { return written_.contains(stateOf(input)); }); };
  // What another update that moves writes counts too: two could wait for each other.
  for (Operation* op : behind)
    if (auto kernel = dyn_cast<KernelOp>(op); kernel && kernel.getKind() != "update" && readsWritten(kernel))
      return false;
  return !readsWritten(maker_);
}

bool MovedUpdate::find() { return findUsers() && isRule() && isSumOfAll() && comesInTime(); }

static OperandRange yieldOf(KernelOp kernel) { return kernel.getBody().front().getTerminator()->getOperands(); }

void MovedUpdate::move(llvm::function_ref<Value(Value)> numberOf) {
  OpBuilder builder(maker_);
  moved_ = createKernel(builder);
  SmallVector<Value> yielded;
  Value gradient = copyProduct(builder, yielded);
  copyRule(builder, gradient, numberOf, yielded);
  copySums(builder, gradient, yielded);
  YieldOp::create(builder, maker_.getLoc(), yielded);
  replaceResults();
}

SmallVector<OpResult> MovedUpdate::othersOfMaker() const {
  SmallVector<OpResult> others;
  for (OpResult result : KernelOp(maker_)->getResults())
    if (result != gradient_)
      others.push_back(result);
  return others;
}

SmallVector<ReduceOp> MovedUpdate::sums() const {
  SmallVector<ReduceOp> sums;
  for (Operation* op : sum_.ops)
    if (auto reduce = dyn_cast<ReduceOp>(op))
      sums.push_back(reduce);
  return sums;
}

KernelOp MovedUpdate::createKernel(OpBuilder& builder) {
  SmallVector<Type> types;
  for (OpResult result : othersOfMaker())
    types.push_back(result.getType());
  for (unsigned output : outputs_)
    types.push_back(update_.getResult(output).getType());
  for (ReduceOp sum : sums())
    types.push_back(sum.getType());
  SmallVector<Value> inputs(maker_.getInputs());
  auto kernel = KernelOp::create(builder, maker_.getLoc(), types, inputs, builder.getStringAttr("weight_update"), maker_.getLabelAttr(),
                                 builder.getStringAttr("its update is behind it: nothing else needs the gradient"), DictionaryAttr());
  builder.createBlock(&kernel.getBody());
  return kernel;
}

Value MovedUpdate::copyProduct(OpBuilder& builder, SmallVectorImpl<Value>& yielded) {
  Block &before = maker_.getBody().front(), &body = moved_.getBody().front();
  IRMapping copies;
  for (BlockArgument argument : before.getArguments())
    copies.map(argument, body.addArgument(argument.getType(), argument.getLoc()));
  for (Operation& op : before.without_terminator())
    builder.clone(op, copies);
  for (OpResult result : othersOfMaker())
    yielded.push_back(copies.lookup(yieldOf(maker_)[result.getResultNumber()]));
  return copies.lookup(yieldOf(maker_)[gradient_.getResultNumber()]);
}

void MovedUpdate::copyRule(OpBuilder& builder, Value gradient, llvm::function_ref<Value(Value)> numberOf, SmallVectorImpl<Value>& yielded) {
  IRMapping copies;
  auto addInput = [&](Value inner, Value outer) {
    moved_.getInputsMutable().append(outer);
    copies.map(inner, moved_.getBody().front().addArgument(inner.getType(), inner.getLoc()));
  };
  for (BlockArgument tensor : part_.tensors)
    if (Value outer = update_.getInputs()[tensor.getArgNumber()]; outer == gradient_)
      copies.map(tensor, gradient);
    else {
      if (auto read = outer.getDefiningOp<ReadOp>())
        read->moveBefore(moved_);
      addInput(tensor, outer);
    }
  for (Value number : part_.numbers)
    if (auto constant = number.getDefiningOp<ConstantOp>())
      builder.clone(*constant, copies);
    else
      addInput(number, numberOf(number));
  for (Operation* op : part_.ops)
    builder.clone(*op, copies);
  for (unsigned output : outputs_)
    yielded.push_back(copies.lookup(yieldOf(update_)[output]));
}

void MovedUpdate::copySums(OpBuilder& builder, Value gradient, SmallVectorImpl<Value>& yielded) {
  // The ops of a sum see the gradient as a row of elements; here they see it as it is.
  IRMapping copies;
  if (totals_)
    copies.map(argumentOf(totals_, gradient_), gradient);
  for (Value number : sum_.numbers)
    builder.clone(*number.getDefiningOp(), copies);
  for (Operation* op : sum_.ops) {
    if (isa<ReshapeOp>(op)) {
      copies.map(op->getResult(0), copies.lookup(op->getOperand(0)));
    } else if (auto reduce = dyn_cast<ReduceOp>(op)) {
      Value row = ReshapeOp::create(builder, reduce.getLoc(), reduce.getX().getType(), copies.lookup(reduce.getX()));
      copies.map(reduce.getX(), row);
      builder.clone(*op, copies);
    } else {
      Operation* copy = builder.clone(*op, copies);
      auto type = cast<RankedTensorType>(gradient.getType());
      copy->getResult(0).setType(type.clone(cast<RankedTensorType>(op->getResult(0).getType()).getElementType()));
    }
  }
  for (ReduceOp sum : sums())
    yielded.push_back(copies.lookup(sum.getResult()));
}

void MovedUpdate::replaceResults() {
  unsigned result = 0;
  for (OpResult other : othersOfMaker())
    other.replaceAllUsesWith(moved_.getResult(result++));
  for (unsigned output : outputs_)
    update_.getResult(output).replaceAllUsesWith(moved_.getResult(result++));
  if (!totals_)
    return;
  for (ReduceOp sum : sums()) {
    totals_.getInputsMutable().append(moved_.getResult(result++));
    sum.getResult().replaceAllUsesWith(totals_.getBody().front().addArgument(sum.getType(), sum.getLoc()));
  }
  eraseUnread(totals_);
  if (totals_.getBody().front().getOps<ReduceOp>().empty()) // numbers of numbers are left
    totals_.setKind("loops");
}

/// A schedule that was written by hand stays.
bool makesGradients(KernelOp kernel) { return kernel && !kernel.getSchedule() && (kernel.getKind() == "matmul" || kernel.getKind() == "weight_grad"); }

void moveUpdatesOf(KernelOp update, const std::set<StringRef>& written) {
  std::vector<MovedUpdate> moves;
  UpdateNumbers numbers(update);
  Operation* first = update;
  for (Value input : llvm::to_vector(update.getInputs())) {
    auto maker = input.getDefiningOp<KernelOp>();
    // One that another move reads beside its own gradient stays.
    auto isTaken = [&](const MovedUpdate& move) { return move.maker() == maker || move.part().tensors.contains(argumentOf(update, input)); };
    if (!makesGradients(maker) || llvm::any_of(moves, isTaken))
      continue;
    MovedUpdate move(maker, cast<OpResult>(input), written);
    if (!move.find())
      continue;
    numbers.add(move.part().numbers);
    first = maker->isBeforeInBlock(first) ? maker : first;
    moves.push_back(std::move(move));
  }
  if (moves.empty())
    return;
  numbers.make(first);
  for (MovedUpdate& move : moves)
    move.move(numbers);
  numbers.useInUpdate();
  dropResults(update);
  for (const MovedUpdate& move : moves)
    move.maker()->erase();
}

} // namespace

LogicalResult moveUpdates(func::FuncOp function, codegen::KernelEmitter& emitter) {
  if (!emitter.updatesWeights())
    return success();
  std::set<StringRef> written;
  for (WriteOp write : function.getOps<WriteOp>())
    written.insert(write.getState());
  for (KernelOp kernel : llvm::to_vector(function.getOps<KernelOp>()))
    if (kernel.getKind() == "update")
      moveUpdatesOf(kernel, written);
  return sortBody(function);
}

} // namespace moec::compiler
