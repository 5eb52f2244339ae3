#pragma once
// What the rules of Gradient.h share: one op's gradients on their way, short words for the ops that rules emit, sums over the axes of a broadcast.

#include "ir/gradients/Gradient.h"

namespace moec::ir {

/// One call of emitGradient, and a hand to write ops with at the op's location.
class Rule {
public:
  Rule(mlir::Operation* op, llvm::ArrayRef<mlir::Value> dResults, mlir::OpBuilder& builder, llvm::MutableArrayRef<mlir::Value> dOperands)
      : op_(op), dResults_(dResults), builder_(builder), dOperands_(dOperands), location_(op->getLoc()) {}

  mlir::Operation* op() const { return op_; }
  mlir::OpBuilder& builder() { return builder_; }
  mlir::Location location() const { return location_; }
  /// The gradient of a result.
  mlir::Value dy(unsigned result = 0) const { return dResults_[result]; }
  mlir::Value operand(unsigned index) const { return op_->getOperand(index); }
  mlir::Value result(unsigned index = 0) const { return op_->getResult(index); }
  /// Says that `gradient` is the operand's.
  void give(unsigned operand, mlir::Value gradient) { dOperands_[operand] = gradient; }
  /// The same where the operand was broadcast to the shape of `gradient`: summed over what it was repeated along.
  void giveSummed(unsigned operand, mlir::Value gradient) { give(operand, sumTo(gradient, sizesOf(this->operand(operand)))); }

  /// An op whose results its inference gives.
  template <class Op, class... Arguments> Op create(Arguments&&... arguments) { return Op::create(builder_, location_, std::forward<Arguments>(arguments)...); }
  mlir::Value add(mlir::Value a, mlir::Value b) { return create<AddOp>(a, b); }
  mlir::Value sub(mlir::Value a, mlir::Value b) { return create<SubOp>(a, b); }
  mlir::Value mul(mlir::Value a, mlir::Value b) { return create<MulOp>(a, b); }
  mlir::Value div(mlir::Value a, mlir::Value b) { return create<DivOp>(a, b); }
  mlir::Value neg(mlir::Value x) { return create<NegOp>(x); }
  mlir::Value where(mlir::Value condition, mlir::Value a, mlir::Value b) { return create<WhereOp>(condition, a, b); }
  mlir::Value compare(Predicate predicate, mlir::Value a, mlir::Value b) { return create<CompareOp>(predicate, a, b); }
  mlir::Value matmul(mlir::Value a, mlir::Value b) { return create<MatmulOp>(a, b); }
  mlir::Value reduce(ReduceKind kind, mlir::Value x, int64_t axis);
  mlir::Value slice(mlir::Value x, int64_t axis, const Size& start, const Size& size);
  mlir::Value cast(mlir::Value x, mlir::Type element);      // x itself when it is of that type
  mlir::Value reshape(mlir::Value x, const Sizes& sizes);   // x itself when it has that shape
  mlir::Value broadcast(mlir::Value x, const Sizes& sizes); // likewise
  mlir::Value transpose(mlir::Value x);                     // the last two dimensions
  mlir::Value constant(double value, mlir::Type element);   // of no dimensions
  mlir::Value filled(double value, const Sizes& sizes, mlir::Type element);
  mlir::Value zero(mlir::Value like) { return constant(0, elementOf(like)); }

  static mlir::Type elementOf(mlir::Value value) { return mlir::cast<mlir::RankedTensorType>(value.getType()).getElementType(); }
  /// The type that a gradient passes through where more than one rounding would show: f32 for bf16.
  static mlir::Type computeElement(mlir::Value value);

  /// `x` summed to a shape that broadcasts to its own. Ragged rows behind their routing's count stay out of the sum.
  mlir::Value sumTo(mlir::Value x, const Sizes& sizes);
  /// x (.., N) summed over all rows: (N). Ragged rows stay out as above.
  mlir::Value sumRows(mlir::Value x);
  /// `x` with zeros for the rows behind a routing's count, where it has ragged rows.
  mlir::Value withoutUndefinedRows(mlir::Value x);
  /// `x` with zeros along `axis`, which is the routing's rows, behind its count.
  mlir::Value withoutRowsBehind(mlir::Value routing, mlir::Value x, size_t axis);

private:
  mlir::Operation* op_;
  llvm::ArrayRef<mlir::Value> dResults_;
  mlir::OpBuilder& builder_;
  llvm::MutableArrayRef<mlir::Value> dOperands_;
  mlir::Location location_;
};

/// The routing whose ragged rows `value` holds along its first dimension, where some of them may be undefined; null otherwise. Found by the ops that the value,
/// of the forward part or a gradient, comes from.
mlir::Value raggedRouting(mlir::Value value);

/// The families: each emits the rule of an op that it knows. Nothing when it does not know the op.
std::optional<mlir::LogicalResult> emitElementwiseGradient(Rule& rule);
std::optional<mlir::LogicalResult> emitShapeGradient(Rule& rule);
std::optional<mlir::LogicalResult> emitLayerGradient(Rule& rule);
std::optional<mlir::LogicalResult> emitAttentionGradient(Rule& rule);
std::optional<mlir::LogicalResult> emitRoutingGradient(Rule& rule);

} // namespace moec::ir
