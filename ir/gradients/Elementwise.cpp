// Elementwise ops: dy times the derivative at x, or at y where that is simpler. At kinks as PyTorch 2.15: relu, leaky_relu and elu take the left side at 0;
// min and max of two tensors give each half where they are equal, and a bound that is constant gives all to the other, as clamp does.

#include "ir/gradients/Rules.h"

#include "llvm/ADT/TypeSwitch.h"

#include <numbers>

using namespace mlir;

namespace moec::ir {

namespace {

void emitUnary(Rule& rule, Value dx) { rule.give(0, dx); }

Value isPositive(Rule& rule) { return rule.compare(Predicate::GT, rule.operand(0), rule.zero(rule.operand(0))); }

/// Of silu: s (1 + x (1 - s)), s = sigmoid(x).
Value siluDerivative(Rule& rule) {
  Value x = rule.operand(0), one = rule.constant(1, Rule::elementOf(x));
  Value s = rule.create<SigmoidOp>(x);
  return rule.mul(s, rule.add(one, rule.mul(x, rule.sub(one, s))));
}

void emitDiv(Rule& rule) {
  Value dy = rule.dy(), b = rule.operand(1);
  rule.giveSummed(0, rule.div(dy, b));
  rule.giveSummed(1, rule.neg(rule.div(rule.mul(dy, rule.result()), b)));
}

/// Whether a value holds numbers of the program, which may be shaped and repeated.
bool isBound(Value value) {
  Operation* op = value.getDefiningOp();
  while (isa_and_nonnull<BroadcastOp, ReshapeOp, CastOp>(op))
    op = op->getOperand(0).getDefiningOp();
  return isa_and_nonnull<ConstantOp, SizeOp>(op);
}

/// `wins`: how an operand compares to the other where it is the result.
void emitChoice(Rule& rule, Predicate wins) {
  Value dy = rule.dy(), zero = rule.zero(dy);
  for (unsigned i : {0u, 1u}) {
    Value own = rule.operand(i), other = rule.operand(1 - i);
    double share = isBound(other) ? 1 : isBound(own) ? 0 : 0.5;
    Value tied = rule.mul(dy, rule.constant(share, Rule::elementOf(dy)));
    Value unlessWon = rule.where(rule.compare(Predicate::EQ, own, other), tied, zero);
    rule.giveSummed(i, rule.where(rule.compare(wins, own, other), dy, unlessWon));
  }
}

void emitWhere(Rule& rule, WhereOp op) {
  Value dy = rule.dy(), zero = rule.zero(dy);
  rule.giveSummed(1, rule.where(op.getCondition(), dy, zero));
  rule.giveSummed(2, rule.where(op.getCondition(), zero, dy));
}

} // namespace

std::optional<LogicalResult> emitElementwiseGradient(Rule& rule) {
  if (!isElementwise(rule.op()))
    return std::nullopt;
  Value dy = rule.dy(), x = rule.operand(0), y = rule.result();
  auto number = [&](double value) { return rule.constant(value, Rule::elementOf(y)); };
  bool known = true;
  llvm::TypeSwitch<Operation*>(rule.op())
      .Case([&](NegOp) { emitUnary(rule, rule.neg(dy)); })
      .Case([&](ExpOp) { emitUnary(rule, rule.mul(dy, y)); })
      .Case([&](LogOp) { emitUnary(rule, rule.div(dy, x)); })
      .Case([&](SqrtOp) { emitUnary(rule, rule.div(rule.mul(dy, number(0.5)), y)); })
      .Case([&](TanhOp) { emitUnary(rule, rule.mul(dy, rule.sub(number(1), rule.mul(y, y)))); })
      .Case([&](SigmoidOp) { emitUnary(rule, rule.mul(rule.mul(dy, rule.sub(number(1), y)), y)); })
      .Case([&](SoftplusOp) { emitUnary(rule, rule.mul(dy, rule.create<SigmoidOp>(x))); })
      .Case([&](ReluOp) { emitUnary(rule, rule.where(rule.compare(Predicate::LE, y, number(0)), number(0), dy)); })
      .Case([&](ErfOp) { // 2 / sqrt(pi) exp(-x^2)
        Value slope = rule.mul(number(2 * std::numbers::inv_sqrtpi), rule.create<ExpOp>(rule.neg(rule.mul(x, x))));
        emitUnary(rule, rule.mul(dy, slope));
      })
      .Case([&](GeluOp) { emitUnary(rule, rule.mul(dy, rule.create<GeluGradOp>(x))); })
      .Case([&](GeluTanhOp) { emitUnary(rule, rule.mul(dy, rule.create<GeluTanhGradOp>(x))); })
      .Case([&](SiluOp) { emitUnary(rule, rule.mul(dy, siluDerivative(rule))); })
      .Case([&](LeakyReluOp op) { emitUnary(rule, rule.where(isPositive(rule), dy, rule.mul(dy, number(op.getSlope().convertToDouble())))); })
      .Case([&](EluOp op) {
        Value left = rule.mul(rule.mul(dy, number(op.getAlpha().convertToDouble())), rule.create<ExpOp>(x));
        emitUnary(rule, rule.where(isPositive(rule), dy, left));
      })
      .Case([&](AddOp) {
        rule.giveSummed(0, dy);
        rule.giveSummed(1, dy);
      })
      .Case([&](SubOp) {
        rule.giveSummed(0, dy);
        rule.giveSummed(1, rule.neg(dy));
      })
      .Case([&](MulOp) {
        rule.giveSummed(0, rule.mul(dy, rule.operand(1)));
        rule.giveSummed(1, rule.mul(dy, x));
      })
      .Case([&](DivOp) { emitDiv(rule); })
      .Case([&](MinOp) { emitChoice(rule, Predicate::LT); })
      .Case([&](MaxOp) { emitChoice(rule, Predicate::GT); })
      .Case([&](WhereOp op) { emitWhere(rule, op); })
      .Case([&](CastOp) {
        if (isDifferentiable(x))
          emitUnary(rule, rule.cast(dy, Rule::elementOf(x)));
      })
      .Default([&](Operation*) { known = false; });
  return known ? std::optional(success()) : std::nullopt;
}

} // namespace moec::ir
