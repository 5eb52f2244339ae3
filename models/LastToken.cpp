#include "models/LastToken.h"

using namespace mlir;

namespace moec::models {

namespace {

/// Are both (batch, tokens, ..) of the same tokens?
bool isOfTokens(Value value, const Size& tokens) {
  ir::Sizes sizes = ir::sizesOf(value);
  return sizes.size() == 3 && sizes[1] == tokens;
}

/// Does the op make each row of its result from the same row of its operands (.., tokens, ..), and from others that have no tokens?
bool worksByToken(Operation* op, const Size& tokens) {
  if (ir::isElementwise(op))
    return llvm::all_of(op->getOperands(), [&](Value operand) {
      ir::Sizes sizes = ir::sizesOf(operand);
      return isOfTokens(operand, tokens) || sizes.size() < 2 || sizes[sizes.size() - 2] == Size(1);
    });
  if (auto product = dyn_cast<ir::MatmulOp>(op))
    return ir::sizesOf(product.getB()).size() == 2;
  return isa<ir::LayerNormOp, ir::RmsNormOp, ir::SoftmaxOp>(op);
}

/// (batch, 1, width)
Value lastRow(Value value, OpBuilder& builder) {
  ir::Sizes sizes = ir::sizesOf(value);
  Size tokens = sizes[1];
  Operation* op = value.getDefiningOp();
  if (!op || !value.use_empty() || !worksByToken(op, tokens)) {
    auto axis = builder.getI64IntegerAttr(1);
    auto start = builder.getStringAttr((tokens - Size(1)).str()), size = builder.getStringAttr("1");
    return ir::SliceOp::create(builder, value.getLoc(), value, axis, start, size);
  }
  builder.setInsertionPoint(op);
  Operation* copy = builder.clone(*op);
  builder.setInsertionPoint(copy);
  op->erase();
  for (OpOperand& operand : copy->getOpOperands())
    if (isOfTokens(operand.get(), tokens)) {
      Value whole = operand.get();
      // For the time of the question it has one user less.
      operand.drop();
      operand.set(lastRow(whole, builder));
      builder.setInsertionPoint(copy);
    }
  sizes[1] = Size(1);
  copy->getResult(0).setType(ir::tensorOf(sizes, cast<RankedTensorType>(copy->getResult(0).getType()).getElementType()));
  return copy->getResult(0);
}

} // namespace

Value lastToken(Value value, OpBuilder& builder) {
  ir::Sizes sizes = ir::sizesOf(value);
  OpBuilder::InsertionGuard guard(builder);
  Value row = lastRow(value, builder);
  builder.setInsertionPointAfterValue(row);
  return ir::ReshapeOp::create(builder, row.getLoc(), ir::tensorOf({sizes[0], sizes[2]}, cast<RankedTensorType>(row.getType()).getElementType()), row);
}

} // namespace moec::models
