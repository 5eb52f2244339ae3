// RowProgram: losses, and the gradients of what sees a whole row.
#include "codegen/analysis/Operands.h"
#include "codegen/cpu/RowProgram.h"
#include "codegen/cpu/VectorMath.h"

#include "llvm/ADT/TypeSwitch.h"

namespace moec::codegen::cpu {

using ir::Predicate;

//===--- losses: one number per row ---===//

/// Two passes: the maximum, then the sum of exponentials, which stay for the gradient of a cross entropy of the same rows.
RowProgram::LogSum RowProgram::logSumOf(mlir::Value x) {
  mlir::Type type = k_.typeOf(dtypeOf(x));
  // A NaN replaces what there is, and nothing is greater than it.
  auto larger = [&](Value a, Value b) { return k_.choose(k_.bitOr(k_.isNan(b), k_.compare(Predicate::GT, b, a)), b, a); };
  Value highest = foldStored(x, k_.real(type, -kInfinity), larger, [](Value v, const At&) { return v; });
  highest_[x] = highest;
  ir::CrossEntropyGradOp gradient = gradientOf(x);
  Value powers = gradient ? bufferFor(gradient, x) : Value();
  Value sum = sumStored({x}, 1, [&](At& at) {
    fetchNext(x, at);
    Value power = expOfNegative(k_, k_.sub(elementAt(x, at), wide(highest, at)));
    if (powers)
      k_.store(power, k_.at(powers, at.position, type));
    return Values{power};
  })[0];
  if (gradient)
    divisors_[gradient.getResult()] = sum;
  return {highest, log(k_, sum), k_.compare(Predicate::LT, k_.abs(highest), k_.real(type, kInfinity))};
}

/// The gradient of a cross entropy of the rows, whose exponentials are not there yet; null without one.
ir::CrossEntropyGradOp RowProgram::gradientOf(mlir::Value x) const {
  for (mlir::Operation* op : ops_)
    if (auto gradient = mlir::dyn_cast<ir::CrossEntropyGradOp>(op); gradient && gradient.getScores() == x && !divisors_.contains(gradient.getResult()))
      return gradient;
  return {};
}

void RowProgram::runLogSumExp(ir::LogSumExpOp op) {
  LogSum sum = logSumOf(op.getX());
  Value result = k_.choose(sum.isFinite, k_.add(sum.highest, sum.logarithm), sum.highest);
  scalars_[op.getResult()] = k_.roundTo(dtypeOf(op.getX()), result);
}

/// A label that is to be ignored is none; neither is one outside, which callers refuse: nothing is read there.
RowProgram::Label RowProgram::labelOf(mlir::Value labels, int64_t ignore, const Size& classes) {
  Value label = k_.toInteger(scalarOf(labels), k_.i64());
  Value inside = k_.compareUnsigned(Predicate::LT, label, k_.size(classes));
  Value isOne = k_.bitAnd(inside, k_.compare(Predicate::NE, label, k_.index(ignore)));
  return {k_.choose(isOne, label, k_.index(0)), isOne};
}

/// (1 - s) (lse - x[l]) + s (lse - sum of x / V); what is close is subtracted first.
void RowProgram::runCrossEntropy(ir::CrossEntropyOp op) {
  mlir::Value x = op.getScores();
  mlir::Type type = k_.typeOf(dtypeOf(x));
  double smoothing = op.getSmoothing().convertToDouble();
  LogSum sum = logSumOf(x);
  Label label = labelOf(op.getLabels(), static_cast<int64_t>(op.getIgnore()), widthOf(x));
  auto distance = [&](Value from) {
    Value difference = k_.sub(sum.highest, from);
    return k_.choose(sum.isFinite, k_.add(difference, sum.logarithm), difference);
  };
  At at{label.index, 1, {}};
  Value loss = distance(elementAt(x, at));
  if (smoothing != 0) {
    Value mean = k_.div(sumStored({x}, 1, [&](At& at) { return Values{elementAt(x, at)}; })[0], countOf(x));
    loss = k_.add(k_.mul(loss, k_.real(type, 1 - smoothing)), k_.mul(distance(mean), k_.real(type, smoothing)));
  }
  scalars_[op.getResult()] = k_.roundTo(dtypeOf(x), k_.choose(label.isOne, loss, k_.zero(type)));
}

/// Whether any element is in the label's way: greater, or equal and before it. Nothing is greater than a NaN, which is no top. Where a loss of the row knows
/// its highest element, most labels need no look at the row.
void RowProgram::runIsTop(ir::IsTopOp op) {
  mlir::Value x = op.getScores();
  mlir::Type type = k_.typeOf(dtypeOf(x)), number = type.isF64() ? k_.i64() : k_.i32();
  keep(x);
  Label label = labelOf(op.getLabels(), static_cast<int64_t>(op.getIgnore()), widthOf(x));
  At there{label.index, 1, {}};
  Value own = elementAt(x, there), place = k_.toInteger(label.index, number), highest = highest_.lookup(x);
  k_.size(widthOf(x)); // known outside of the branch too
  auto look = [&] {
    Value beaten = foldRow(
        widthOf(x), k_.integer(number, 0), [&](Value a, Value b) { return k_.max(a, b); },
        [&](At& at) {
          Value v = elementAt(x, at);
          Value equal = k_.bitAnd(k_.compare(Predicate::EQ, v, wide(own, at)), k_.compare(Predicate::LT, positionsAt(at, number), wide(place, at)));
          Value before = k_.bitOr(k_.compare(Predicate::GT, v, wide(own, at)), equal);
          mlir::Type lanes = k_.vectorOf(number, at.lanes);
          return k_.choose(before, k_.integer(lanes, 1), k_.integer(lanes, 0));
        });
    return Values{beaten};
  };
  // The highest of a row with a NaN is NaN.
  Value beaten = highest ? k_.when(k_.bitOr(k_.compare(Predicate::EQ, own, highest), k_.isNan(highest)), look, [&] { return Values{k_.integer(number, 1)}; })[0]
                         : look()[0];
  scalars_[op.getResult()] = k_.bitAnd(k_.bitAnd(label.isOne, k_.compare(Predicate::EQ, own, own)), k_.compare(Predicate::EQ, beaten, k_.integer(number, 0)));
}

//===--- gradients ---===//

/// In the place of the label's exponential stands what is left of it: e - (1 - s) times their sum.
void RowProgram::runCrossEntropyGrad(ir::CrossEntropyGradOp op) {
  mlir::Value x = op.getScores(), result = op.getResult();
  mlir::Type type = k_.typeOf(dtypeOf(x));
  scalarOf(op.getDy());
  Label label = labels_[result] = labelOf(op.getLabels(), static_cast<int64_t>(op.getIgnore()), widthOf(x));
  if (!divisors_.contains(result))
    runSoftmax(op, x);
  Value place = k_.at(buffers_.lookup(op), label.index, type), share = k_.real(type, 1 - op.getSmoothing().convertToDouble());
  k_.store(k_.sub(k_.load(type, place), k_.mul(share, divisors_.lookup(result))), place);
}

Value RowProgram::crossEntropyGradAt(ir::CrossEntropyGradOp op, At& at) {
  mlir::Value result = op.getResult();
  mlir::Type type = k_.typeOf(dtypeOf(result)), lanes = k_.vectorOf(type, at.lanes);
  double smoothing = op.getSmoothing().convertToDouble();
  Value place = k_.at(buffers_.lookup(op), at.position, type);
  Value p = k_.div(at.mask ? k_.loadMasked(lanes, place, at.mask) : k_.load(lanes, place), wide(divisors_.lookup(result), at));
  if (smoothing != 0)
    p = k_.sub(p, wide(k_.div(k_.real(type, smoothing), countOf(op.getScores())), at));
  return k_.choose(labels_.lookup(result).isOne, k_.mul(wide(scalarOf(op.getDy()), at), p), k_.zero(lanes));
}

/// The places in the row of a vector's lanes.
Value RowProgram::positionsAt(const At& at, mlir::Type number) { return k_.add(wide(k_.toInteger(at.position, number), at), k_.iota(number, at.lanes)); }

/// Two passes: the mean of x, then all other sums, with g = dy * weight and distances from the mean.
void RowProgram::runNormGrad(ir::LayerNormGradOp op) {
  if (normGrads_.contains(op.getResult()))
    return;
  mlir::Value x = op.getX(), dy = op.getDy(), weight = op.getWeight();
  mlir::Type type = k_.typeOf(dtypeOf(x));
  Value count = countOf(x);
  Value mean = k_.div(sumStored({x}, 1, [&](At& at) { return Values{elementAt(x, at)}; })[0], count);
  if (weight)
    hoist(weight);
  Values sums = sumStored({x, dy}, 3, [&](At& at) {
    Value distance = k_.sub(elementAt(x, at), wide(mean, at)), g = elementAt(dy, at);
    if (weight)
      g = k_.mul(g, elementAt(weight, at));
    return Values{k_.mul(distance, distance), g, k_.mul(g, distance)};
  });
  Value variance = k_.add(k_.div(sums[0], count), k_.real(type, op.getEps().convertToDouble()));
  Value scale = k_.div(k_.real(type, 1), k_.sqrt(variance));
  normGrads_[op.getResult()] = {mean, scale, k_.div(sums[1], count), k_.div(k_.mul(sums[2], scale), count)};
}

/// One pass.
void RowProgram::runNormGrad(ir::RmsNormGradOp op) {
  if (normGrads_.contains(op.getResult()))
    return;
  mlir::Value x = op.getX(), dy = op.getDy(), weight = op.getWeight();
  mlir::Type type = k_.typeOf(dtypeOf(x));
  Value count = countOf(x);
  if (weight)
    hoist(weight);
  Values sums = sumStored({x, dy}, 2, [&](At& at) {
    Value v = elementAt(x, at), g = elementAt(dy, at);
    if (weight)
      g = k_.mul(g, elementAt(weight, at));
    return Values{k_.mul(v, v), k_.mul(g, v)};
  });
  Value scale = k_.div(k_.real(type, 1), k_.sqrt(k_.add(k_.div(sums[0], count), k_.real(type, op.getEps().convertToDouble()))));
  normGrads_[op.getResult()] = {{}, scale, {}, k_.div(k_.mul(sums[1], scale), count)};
}

/// (g - mean of g - xhat * mean of g * xhat) * scale.
Value RowProgram::normGradAt(mlir::Value dy, mlir::Value x, mlir::Value weight, mlir::Value result, At& at) {
  NormGrad n = normGrads_.lookup(result);
  Value distance = elementAt(x, at), g = elementAt(dy, at);
  if (n.mean)
    distance = k_.sub(distance, wide(n.mean, at));
  if (weight)
    g = k_.mul(g, elementAt(weight, at));
  Value normal = k_.mul(distance, wide(n.scale, at));
  if (n.meanGradient)
    g = k_.sub(g, wide(n.meanGradient, at));
  return k_.mul(k_.sub(g, k_.mul(normal, wide(n.meanProduct, at))), wide(n.scale, at));
}

void RowProgram::runSoftmaxGrad(ir::SoftmaxGradOp op) {
  mlir::Value y = op.getY(), dy = op.getDy();
  products_[op.getResult()] = sumStored({y, dy}, 1, [&](At& at) { return Values{k_.mul(elementAt(dy, at), elementAt(y, at))}; })[0];
}

void RowProgram::runSelectGrad(ir::SelectGradOp op) {
  keep(op.getDy());
  keep(op.getIndices());
  int64_t choices = *ir::sizesOf(op.getDy()).back().constant();
  for (int64_t choice = 0; choices <= kFewChoices && choice < choices; ++choice) {
    At at{k_.index(choice), 1, {}};
    choices_[op].push_back({elementAt(op.getIndices(), at), elementAt(op.getDy(), at)});
  }
}

/// The sum over the choices whose index lies here, in their order.
Value RowProgram::selectGradAt(ir::SelectGradOp op, At& at) {
  Value positions = positionsAt(at, k_.i32());
  auto add = [&](Value sum, Value index, Value gradient) {
    return k_.choose(k_.compare(Predicate::EQ, positions, wide(index, at)), k_.add(sum, wide(gradient, at)), sum);
  };
  Value sum = k_.zero(k_.vectorOf(k_.typeOf(dtypeOf(op.getResult())), at.lanes));
  for (const Choice& choice : choices_.lookup(op))
    sum = add(sum, choice.index, choice.gradient);
  int64_t choices = *ir::sizesOf(op.getDy()).back().constant();
  if (choices > kFewChoices)
    sum = k_.loop(k_.index(0), k_.index(choices), k_.index(1), {sum}, [&](Value choice, const Values& carried) {
      At from{choice, 1, {}};
      return Values{add(carried[0], elementAt(op.getIndices(), from), elementAt(op.getDy(), from))};
    })[0];
  return sum;
}

Value RowProgram::gradientAt(mlir::Operation* op, At& at) {
  return llvm::TypeSwitch<mlir::Operation*, Value>(op)
      .Case<ir::LayerNormGradOp, ir::RmsNormGradOp>([&](auto grad) { return normGradAt(grad.getDy(), grad.getX(), grad.getWeight(), grad.getResult(), at); })
      .Case([&](ir::CrossEntropyGradOp grad) { return crossEntropyGradAt(grad, at); })
      .Case([&](ir::SelectGradOp grad) { return selectGradAt(grad, at); })
      .Case([&](ir::SoftmaxGradOp grad) {
        return k_.mul(elementAt(grad.getY(), at), k_.sub(elementAt(grad.getDy(), at), wide(products_.lookup(grad.getResult()), at)));
      })
      .Default([](mlir::Operation*) { return Value(); });
}

} // namespace moec::codegen::cpu
