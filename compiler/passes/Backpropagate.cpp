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

/// A part of a value along an axis.
struct Part {
  int64_t start, size;
  Value value;
};

bool isZeros(Value value) {
  auto broadcast = value.getDefiningOp<ir::BroadcastOp>();
  auto constant = broadcast ? broadcast.getX().getDefiningOp<ir::ConstantOp>() : nullptr;
  auto number = constant ? dyn_cast<SplatElementsAttr>(constant.getValue()) : SplatElementsAttr();
  return number && number.getSplatValue<APFloat>().isPosZero();
}

/// The parts that a concat of known sizes has beside zeros; false where a size is not known.
bool partsOf(ir::ConcatOp concat, SmallVectorImpl<Part>& parts) {
  int64_t start = 0;
  for (Value value : concat.getXs()) {
    std::optional<int64_t> size = ir::sizesOf(value)[concat.getAxis()].constant();
    if (!size)
      return false;
    if (!isZeros(value))
      parts.push_back({start, *size, value});
    start += *size;
  }
  return true;
}

/// One concat in the place of a sum of two that have nothing but zeros where the other has something, as gradients of slices of one value are; null where
/// they are none.
Value joined(Value a, Value b, OpBuilder& builder, Location location) {
  auto one = a.getDefiningOp<ir::ConcatOp>(), other = b.getDefiningOp<ir::ConcatOp>();
  SmallVector<Part> parts;
  if (!one || !other || one.getAxis() != other.getAxis() || !partsOf(one, parts) || !partsOf(other, parts))
    return nullptr;
  llvm::sort(parts, [](const Part& x, const Part& y) { return x.start < y.start; });
  ir::Sizes sizes = ir::sizesOf(a);
  int64_t end = 0, all = *sizes[one.getAxis()].constant();
  SmallVector<Value> values;
  auto addZeros = [&](int64_t until) {
    if (end == until)
      return;
    sizes[one.getAxis()] = until - end;
    auto scalar = RankedTensorType::get({}, elementOf(a));
    Value zero = ir::ConstantOp::create(builder, location, DenseElementsAttr::get(scalar, FloatAttr::get(elementOf(a), 0).getValue()));
    values.push_back(ir::BroadcastOp::create(builder, location, ir::tensorOf(sizes, elementOf(a)), zero));
  };
  for (const Part& part : parts) {
    if (part.start < end)
      return nullptr;
    addZeros(part.start);
    values.push_back(part.value);
    end = part.start + part.size;
  }
  addZeros(all);
  return ir::ConcatOp::create(builder, location, a.getType(), values, one.getAxis()).getResult();
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
    if (!sum)
      sum = gradient;
    else if (Value whole = joined(sum, gradient, builder_, op->getLoc()))
      sum = whole;
    else
      sum = ir::AddOp::create(builder_, op->getLoc(), sum, gradient);
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
