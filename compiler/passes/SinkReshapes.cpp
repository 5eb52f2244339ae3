// sink-reshapes: a reshape of a constant is a constant; and elementwise(reshape(x), y) becomes reshape(elementwise(x, y')), when x is what a fused product
// or combine will make; what y is made of for this op alone is made in x's shape. Comes before the fusions of products: they follow uses from op to op and
// would stop at the reshape.

#include "codegen/analysis/TensorFamilies.h"
#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;
using moec::codegen::isNumber;

namespace moec::compiler {

namespace {

/// Whether a value is made elementwise, for one op or of a dropout's mask, from what stands in memory in any case: then it can be made in another shape as
/// well. A product's epilogue takes along what it needs, but no view of it.
bool isMadeForOne(Value value) {
  Operation* op = value.getDefiningOp();
  if (!op || !isElementwise(op) || isMask(op) || !(value.hasOneUse() || isOfMask(value)))
    return false;
  return llvm::all_of(op->getOperands(), [&](Value operand) {
    return isNumber(operand) || (sizesOf(operand) == sizesOf(value) && (!operand.hasOneUse() || isMask(operand.getDefiningOp()) || isMadeForOne(operand)));
  });
}

using Views = llvm::DenseMap<Value, Value>;

/// A number broadcasts by itself, unless it has more dimensions than `to`.
Value viewOfNumber(Value value, const Sizes& to, OpBuilder& builder) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getRank() <= static_cast<int64_t>(to.size()))
    return value;
  return ReshapeOp::create(builder, value.getLoc(), tensorOf({}, type.getElementType()), value);
}

/// The value in another shape, each of those that make it once.
Value viewOf(Value value, const Sizes& to, OpBuilder& builder, Views& views) {
  if (Value known = views.lookup(value))
    return known;
  auto type = tensorOf(to, cast<RankedTensorType>(value.getType()).getElementType());
  Value view;
  if (isNumber(value) && !(product(to) == Size(1))) {
    view = viewOfNumber(value, to, builder);
  } else if (!isMadeForOne(value)) {
    view = ReshapeOp::create(builder, value.getLoc(), type, value);
  } else {
    Operation* op = value.getDefiningOp();
    SmallVector<Value> operands(llvm::map_range(op->getOperands(), [&](Value operand) { return viewOf(operand, to, builder, views); }));
    view = builder.create(op->getLoc(), op->getName().getIdentifier(), operands, type, op->getAttrs())->getResult(0);
  }
  views[value] = view;
  return view;
}

/// An operand of the elementwise op as it must be for x's shape: itself when it broadcasts along the last dimension only, a view otherwise.
Value viewFor(Value operand, RankedTensorType from, const Sizes& to, OpBuilder& builder, Views& views) {
  auto type = cast<RankedTensorType>(operand.getType());
  Sizes sizes = sizesOf(type);
  if (type.getRank() == 0 || (type.getRank() == 1 && sizesOf(from).back() == to.back()))
    return operand;
  if (sizes != sizesOf(from))
    return nullptr;
  return viewOf(operand, to, builder, views);
}

bool makesRows(Value x) {
  Operation* op = x.getDefiningOp();
  while (op && isElementwise(op))
    op = op->getOperand(0).getDefiningOp();
  return isa_and_nonnull<CombineOp, MatmulOp>(op);
}

/// The reshape behind the op that it sank past, or null when it stays where it is.
ReshapeOp sink(ReshapeOp reshape) {
  if (!reshape->hasOneUse() || !makesRows(reshape.getX()))
    return nullptr;
  Operation* user = *reshape->getUsers().begin();
  auto from = cast<RankedTensorType>(reshape.getType());
  if (!isElementwise(user) || sizesOf(user->getResult(0)) != sizesOf(from))
    return nullptr;
  Sizes to = sizesOf(reshape.getX());
  OpBuilder builder(user);
  SmallVector<Value> operands;
  Views views;
  for (Value operand : user->getOperands()) {
    Value view = operand == reshape.getResult() ? reshape.getX() : viewFor(operand, from, to, builder, views);
    if (!view)
      return nullptr;
    operands.push_back(view);
  }
  auto element = cast<RankedTensorType>(user->getResult(0).getType()).getElementType();
  Operation* moved = builder.create(user->getLoc(), user->getName().getIdentifier(), operands, tensorOf(to, element), user->getAttrs());
  auto behind = ReshapeOp::create(builder, reshape.getLoc(), user->getResult(0).getType(), moved->getResult(0));
  user->getResult(0).replaceAllUsesWith(behind.getResult());
  user->erase();
  reshape->erase();
  return behind;
}

/// In another shape, a constant is another one: every kernel has its own.
void foldConstants(func::FuncOp function) {
  for (ReshapeOp reshape : SmallVector<ReshapeOp>(function.getOps<ReshapeOp>())) {
    auto constant = reshape.getX().getDefiningOp<ConstantOp>();
    auto type = cast<RankedTensorType>(reshape.getType());
    auto value = constant ? dyn_cast<DenseElementsAttr>(constant.getValue()) : DenseElementsAttr();
    if (!value || !type.hasStaticShape())
      continue;
    OpBuilder builder(reshape);
    reshape.getResult().replaceAllUsesWith(ConstantOp::create(builder, constant.getLoc(), value.reshape(type)).getResult());
    reshape.erase();
  }
}

} // namespace

LogicalResult sinkReshapes(func::FuncOp function) {
  foldConstants(function);
  // Only the reshapes of the model sink, each as far as it goes: the views made for other operands would sink back.
  for (ReshapeOp reshape : SmallVector<ReshapeOp>(function.getOps<ReshapeOp>()))
    while (reshape)
      reshape = sink(reshape);
  foldConstants(function); // numbers of fewer dimensions
  // What was made in another shape.
  for (Operation& op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (isElementwise(&op) && op.use_empty())
      op.erase();
  return success();
}

} // namespace moec::compiler
