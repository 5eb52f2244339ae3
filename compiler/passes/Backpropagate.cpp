#include "compiler/passes/Backpropagate.h"

#include "ir/gradients/Gradient.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

using namespace mlir;

namespace moec::compiler {

namespace {

Type elementOf(Value value) { return cast<RankedTensorType>(value.getType()).getElementType(); }

/// A constant of no dimensions, repeated to the type of `like`.
Value filled(double number, Value like, OpBuilder& builder, Location location) {
  Type element = elementOf(like);
  auto scalar = RankedTensorType::get({}, element);
  Value value = ir::ConstantOp::create(builder, location, DenseElementsAttr::get(scalar, FloatAttr::get(element, number).getValue()));
  return like.getType() == scalar ? value : ir::BroadcastOp::create(builder, location, like.getType(), value).getResult();
}

class Backpropagation {
public:
  Backpropagation(Value loss, ArrayRef<Value> wanted, OpBuilder& builder) : loss_(loss), wanted_(wanted), builder_(builder) {}

  LogicalResult check();
  LogicalResult run();
  SmallVector<Value> results();
  bool reaches(Value value) const { return gradients_.contains(standIn(value)); }

private:
  Value standIn(Value value) const;
  void findDependents();
  LogicalResult stepBack(Operation* op);

  Value loss_;
  ArrayRef<Value> wanted_;
  OpBuilder& builder_;
  llvm::DenseMap<StringAttr, Value> reads_; // the first read of each state of which one is wanted
  llvm::DenseSet<Value> dependents_;        // wanted values, and floats that depend on one
  llvm::DenseMap<Value, Value> gradients_;
};

LogicalResult Backpropagation::check() {
  auto type = dyn_cast<RankedTensorType>(loss_.getType());
  if (!type || type.getRank() != 0 || !isa<FloatType>(type.getElementType()))
    return emitError(loss_.getLoc()) << "gradients are those of a float of no dimensions: the loss is " << loss_.getType();
  for (Value value : wanted_) {
    if (!ir::isDifferentiable(value))
      return emitError(value.getLoc()) << "a gradient is asked for of " << value.getType() << ": only tensors of f64, f32 or bf16 have one";
    if (value.getParentBlock() != loss_.getParentBlock())
      return emitError(value.getLoc()) << "a gradient is asked for of a value that stands in another block than the loss";
  }
  return success();
}

/// All reads of a state count as its first one.
Value Backpropagation::standIn(Value value) const {
  auto read = value.getDefiningOp<ir::ReadOp>();
  Value first = read ? reads_.lookup(read.getStateAttr().getAttr()) : Value();
  return first ? first : value;
}

void Backpropagation::findDependents() {
  for (Value value : wanted_)
    if (auto read = value.getDefiningOp<ir::ReadOp>())
      reads_[read.getStateAttr().getAttr()] = {};
  for (auto read : loss_.getParentBlock()->getOps<ir::ReadOp>())
    if (auto place = reads_.find(read.getStateAttr().getAttr()); place != reads_.end()) {
      if (!place->second)
        place->second = read.getResult();
      dependents_.insert(read.getResult());
    }
  dependents_.insert(wanted_.begin(), wanted_.end());
  for (Operation& op : *loss_.getParentBlock())
    if (llvm::any_of(op.getOperands(), [&](Value operand) { return dependents_.contains(operand); }))
      for (Value result : op.getResults())
        if (ir::isDifferentiable(result))
          dependents_.insert(result);
}

LogicalResult Backpropagation::stepBack(Operation* op) {
  SmallVector<Value> dResults, dOperands(op->getNumOperands());
  for (Value result : op->getResults())
    dResults.push_back(gradients_.lookup(result));
  auto isDependent = [&](Value operand) { return dependents_.contains(operand); };
  if (llvm::none_of(dResults, [](Value gradient) { return bool(gradient); }) || llvm::none_of(op->getOperands(), isDependent))
    return success();
  if (failed(ir::emitGradient(op, dResults, builder_, dOperands)))
    return failure();
  for (auto [operand, gradient] : llvm::zip(op->getOperands(), dOperands)) {
    if (!gradient || !isDependent(operand))
      continue;
    assert(gradient.getType() == operand.getType() && "a gradient has its value's type");
    Value& sum = gradients_[standIn(operand)];
    sum = sum ? ir::AddOp::create(builder_, op->getLoc(), sum, gradient).getResult() : gradient;
  }
  return success();
}

LogicalResult Backpropagation::run() {
  findDependents();
  if (!dependents_.contains(loss_))
    return success();
  gradients_[loss_] = filled(1, loss_, builder_, loss_.getLoc());
  // The new ops stand behind the loss, so the way back never meets them.
  for (Operation* op = loss_.getDefiningOp(); op; op = op->getPrevNode())
    if (failed(stepBack(op)))
      return failure();
  return success();
}

SmallVector<Value> Backpropagation::results() {
  SmallVector<Value> results;
  for (Value value : wanted_) {
    Value& gradient = gradients_[standIn(value)];
    if (!gradient)
      gradient = filled(0, value, builder_, value.getLoc());
    results.push_back(gradient);
  }
  return results;
}

/// Rules emit the gradients of all operands; those that nobody wanted have no use.
void eraseUnused(Operation* before, Operation* end, ArrayRef<Value> used) {
  llvm::DenseSet<Value> kept(used.begin(), used.end());
  for (Operation* op = end; op && op != before;) {
    Operation* previous = op->getPrevNode();
    if (isOpTriviallyDead(op) && llvm::none_of(op->getResults(), [&](Value result) { return kept.contains(result); }))
      op->erase();
    op = previous;
  }
}

} // namespace

FailureOr<SmallVector<Value>> backpropagate(Value loss, ArrayRef<Value> wanted, OpBuilder& builder, SmallVectorImpl<bool>* reached) {
  Backpropagation pass(loss, wanted, builder);
  if (failed(pass.check()))
    return failure();
  Block* block = builder.getInsertionBlock();
  auto last = [&]() -> Operation* { // in front of the insertion point
    if (builder.getInsertionPoint() == block->begin())
      return nullptr;
    return &*std::prev(builder.getInsertionPoint());
  };
  Operation* before = last();
  if (failed(pass.run()))
    return failure();
  if (reached)
    for (Value value : wanted)
      reached->push_back(pass.reaches(value));
  SmallVector<Value> results = pass.results();
  eraseUnused(before, last(), results);
  return results;
}

} // namespace moec::compiler
