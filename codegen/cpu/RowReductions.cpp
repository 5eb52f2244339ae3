// RowProgram: the ops that see a whole row.
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/ProductSchedule.h"
#include "codegen/cpu/RowProgram.h"
#include "codegen/cpu/VectorMath.h"

namespace moec::codegen::cpu {

using ir::Predicate;

namespace {
constexpr int64_t kLongRow = 4096; // bytes; shorter ones the machine foresees
} // namespace

/// The width of a row as a number to divide by.
Value RowProgram::countOf(mlir::Value x) {
  Size width = widthOf(x);
  mlir::Type type = k_.typeOf(dtypeOf(x));
  if (auto constant = width.constant())
    return k_.real(type, static_cast<double>(*constant));
  return k_.toFloat(k_.size(width), type);
}

/// For a row's exponentials, in whole vectors: the last one is written without a mask.
Value RowProgram::bufferFor(mlir::Operation* op, mlir::Value x) {
  Value& buffer = buffers_[op];
  if (!buffer)
    buffer = k_.scratch(alignUp(widthOf(x), lanes_) * Size(k_.typeOf(dtypeOf(x)).getIntOrFloatBitWidth() / 8));
  return buffer;
}

/// Long rows of an argument: the next one is on its way while this one's exponentials are taken, which wait for nothing.
void RowProgram::fetchNext(mlir::Value x, const At& at) {
  std::optional<int64_t> width = widthOf(x).constant();
  int64_t bytes = width.value_or(0) * static_cast<int64_t>(byteSize(dtypeOf(x)));
  if (isComputed(x) || !memory_.contains(x) || bytes < kLongRow || 3 * bytes > kL2Bytes || at.mask) // it, its exponentials and the next one
    return;
  k_.prefetch(k_.at(memory_.lookup(x).address, k_.add(at.position, *width), dtypeOf(x)));
}

/// Leaves exp(x - max) in a buffer and their sum in divisors_, for an op with a softmax of x in it; elementAt divides.
void RowProgram::runSoftmax(mlir::Operation* op, mlir::Value x) {
  mlir::Value result = op->getResult(0);
  mlir::Type type = k_.typeOf(dtypeOf(x));
  Size width = widthOf(x);
  Value buffer = bufferFor(op, x);
  // A NaN needs no care: its exponential makes the sum, and so the row, NaN.
  auto larger = [&](Value a, Value b) { return k_.choose(k_.compare(Predicate::GT, b, a), b, a); };
  bool keepsX = memory_.contains(x) || uses_.lookup(x) > 1 || llvm::is_contained(pending_, x);
  Value highest;
  if (keepsX) {
    highest = foldStored(x, k_.real(type, -kInfinity), larger, [](Value v, const At&) { return v; });
  } else {
    hoist(x);
    highest = foldRow(width, k_.real(type, -kInfinity), larger, [&](At& at) {
      Value v = elementAt(x, at);
      k_.store(v, k_.at(buffer, at.position, type));
      return v;
    });
  }
  divisors_[result] = foldRow(
      width, k_.real(type, 0), [&](Value a, Value b) { return k_.add(a, b); },
      [&](At& at) {
        Value place = k_.at(buffer, at.position, type);
        Value v = keepsX ? elementAt(x, at) : k_.load(k_.vectorOf(type, at.lanes), place);
        fetchNext(x, at);
        Value distance = k_.sub(v, wide(highest, at)), e = mlir::isa<ir::SoftmaxOp>(op) ? exp(k_, distance) : expOfNegative(k_, distance);
        k_.store(e, place);
        return e;
      });
}

/// Whether a value's elements can be had at once: no op that sees a whole row makes them.
bool RowProgram::isAtHand(mlir::Value value) const {
  if (!isComputed(value) || memory_.contains(value))
    return true;
  mlir::Operation* op = value.getDefiningOp();
  return (ir::isElementwise(op) || mlir::isa<ir::ConstantOp>(op)) && llvm::all_of(op->getOperands(), [&](mlir::Value operand) { return isAtHand(operand); });
}

/// What the gradient of the same rows' norm finds of them in its passes: false without one.
template <class Gradient, class NormOp> bool RowProgram::takeFromGradient(NormOp norm) {
  for (mlir::Operation* op : ops_)
    if (auto gradient = mlir::dyn_cast<Gradient>(op); gradient && gradient.getX() == norm.getX() && gradient.getEpsAttr() == norm.getEpsAttr() &&
                                                      (normGrads_.contains(gradient.getResult()) || isAtHand(gradient.getDy()))) {
      runNormGrad(gradient);
      NormGrad found = normGrads_.lookup(gradient.getResult());
      norms_[norm.getResult()] = {found.mean, found.scale};
      return true;
    }
  return false;
}

/// Two passes: the mean, then the mean of squared distances from it.
void RowProgram::runNorm(ir::LayerNormOp op) {
  if (takeFromGradient<ir::LayerNormGradOp>(op))
    return;
  mlir::Value x = op.getX();
  mlir::Type type = k_.typeOf(dtypeOf(x));
  Value count = countOf(x), zero = k_.real(type, 0);
  auto sum = [&](Value a, Value b) { return k_.add(a, b); };
  Value mean = k_.div(foldStored(x, zero, sum, [](Value v, const At&) { return v; }), count);
  Value squares = foldRow(widthOf(x), zero, sum, [&](At& at) {
    Value distance = k_.sub(elementAt(x, at), wide(mean, at));
    return k_.mul(distance, distance);
  });
  Value variance = k_.add(k_.div(squares, count), k_.real(type, op.getEps().convertToDouble()));
  norms_[op.getResult()] = {mean, k_.div(k_.real(type, 1), k_.sqrt(variance))};
}

/// One pass: the mean of squares.
void RowProgram::runRmsNorm(ir::RmsNormOp op) {
  if (takeFromGradient<ir::RmsNormGradOp>(op))
    return;
  mlir::Value x = op.getX();
  mlir::Type type = k_.typeOf(dtypeOf(x));
  auto sum = [&](Value a, Value b) { return k_.add(a, b); };
  Value squares = foldStored(x, k_.real(type, 0), sum, [&](Value v, const At&) { return k_.mul(v, v); });
  Value mean = k_.add(k_.div(squares, countOf(x)), k_.real(type, op.getEps().convertToDouble()));
  norms_[op.getResult()] = {{}, k_.div(k_.real(type, 1), k_.sqrt(mean))};
}

void RowProgram::runReduce(ir::ReduceOp op) {
  mlir::Value x = op.getX();
  DType dtype = dtypeOf(x);
  mlir::Type type = k_.typeOf(dtype);
  Value result;
  if (op.getKind() == ir::ReduceKind::Max) {
    // A NaN replaces what there is, and nothing is greater than it.
    auto larger = [&](Value a, Value b) { return k_.choose(k_.bitOr(k_.isNan(b), k_.compare(Predicate::GT, b, a)), b, a); };
    result = foldStored(x, k_.real(type, -kInfinity), larger, [](Value v, const At&) { return v; });
  } else {
    auto sum = [&](Value a, Value b) { return k_.add(a, b); };
    result = foldStored(x, k_.real(type, 0), sum, [](Value v, const At&) { return v; });
    if (op.getKind() == ir::ReduceKind::Mean)
      result = k_.div(result, countOf(x));
  }
  scalars_[op.getResult()] = k_.roundTo(dtype, result);
}

/// k rounds, each finding the largest key of those not yet taken, at the lowest index. Keys are integers in the scores' order: NaN below
/// all numbers, and below NaN what is taken.
void RowProgram::runSelect(ir::SelectOp op) {
  mlir::Value x = op.getScores();
  keep(x);
  mlir::Type type = k_.typeOf(dtypeOf(x));
  bool isWide = type.isF64();
  mlir::Type keyType = isWide ? k_.i64() : k_.i32();
  int64_t lowest = isWide ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int32_t>::min();
  Size width = widthOf(x);
  auto all = [&](int64_t value, int64_t lanes) { return k_.integer(k_.vectorOf(keyType, lanes), value); };
  auto keyOf = [&](Value v) {
    int64_t lanes = KernelBuilder::lanesOf(v);
    Value word = k_.bits(k_.add(v, k_.real(v.getType(), 0)), keyType); // -0 becomes 0
    Value negative = k_.compare(Predicate::LT, word, all(0, lanes));
    Value key = k_.choose(negative, k_.bitXor(word, all(~lowest, lanes)), word);
    return k_.choose(k_.isNan(v), all(lowest + 1, lanes), key);
  };

  Value& buffer = buffers_[op];
  if (!buffer)
    buffer = k_.scratch(alignUp(width, lanes_) * Size(keyType.getIntOrFloatBitWidth() / 8));
  auto keysAt = [&](At& at) { return k_.load(k_.vectorOf(keyType, at.lanes), k_.at(buffer, at.position, keyType)); };
  k_.vectorLoop(k_.size(width), lanes_, [&](Value position, Value mask) {
    At at{position, lanes_, mask};
    k_.store(keyOf(elementAt(x, at)), k_.at(buffer, position, keyType));
  });

  llvm::SmallVector<Memory> values = placesFor(op.getValues()), indices = placesFor(op.getIndices());
  auto round = [&](Value turn) {
    Value best = foldRow(width, all(lowest, 1), [&](Value a, Value b) { return k_.max(a, b); }, [&](At& at) { return keysAt(at); });
    Value none = all(~lowest, 1);
    Value found = foldRow(
        width, none, [&](Value a, Value b) { return k_.min(a, b); },
        [&](At& at) {
          Value place = k_.add(wide(k_.toInteger(at.position, keyType), at), k_.iota(keyType, at.lanes));
          return k_.choose(k_.compare(Predicate::EQ, keysAt(at), wide(best, at)), place, wide(none, at));
        });
    Value index = k_.toInteger(found, k_.i64());
    k_.store(all(lowest, 1), k_.at(buffer, index, keyType));
    At from{index, 1, {}}, to{turn, 1, {}};
    store(op.getValues(), elementAt(x, from), to, values);
    store(op.getIndices(), k_.toInteger(index, k_.i32()), to, indices);
  };
  if (op.getK() <= 4)
    for (int64_t turn = 0; turn < static_cast<int64_t>(op.getK()); ++turn)
      round(k_.index(turn));
  else
    k_.loop(k_.index(0), k_.index(op.getK()), k_.index(1), round);
  memory_[op.getValues()] = values.front();
  memory_[op.getIndices()] = indices.front();
}

/// One choice at a time: there are few, each somewhere else.
void RowProgram::runTake(ir::TakeOp op) {
  mlir::Value x = op.getX(), indices = op.getIndices(), result = op.getResult();
  for (mlir::Value operand : {mlir::Value(x), mlir::Value(indices)}) {
    keep(operand);
    hoist(operand); // of one element: it must not be computed first in the loop
  }
  llvm::SmallVector<Memory> places = placesFor(result);
  k_.loop(0, k_.size(widthOf(result)), 1, [&](Value choice) {
    At at{choice, 1, {}};
    Value index = k_.toInteger(elementAt(indices, at), k_.i64());
    Value isThere = k_.compareUnsigned(Predicate::LT, index, k_.size(widthOf(x)));
    At from{k_.choose(isThere, index, k_.index(0)), 1, {}};
    Value element = elementAt(x, from);
    store(result, k_.choose(isThere, element, k_.zero(element.getType())), at, places);
  });
  memory_[result] = places.front();
}

void RowProgram::runConcat(ir::ConcatOp op) {
  llvm::SmallVector<Memory> places = placesFor(op.getResult());
  Size start = 0;
  for (mlir::Value x : op.getXs()) {
    hoist(x);
    Value first = k_.size(start);
    k_.vectorLoop(k_.size(widthOf(x)), lanes_, [&](Value position, Value mask) {
      At from{position, lanes_, mask}, to{k_.add(first, position), lanes_, mask};
      store(x, elementAt(x, from), to, places);
    });
    start = start + widthOf(x);
  }
  memory_[op.getResult()] = places.front();
}

} // namespace moec::codegen::cpu
