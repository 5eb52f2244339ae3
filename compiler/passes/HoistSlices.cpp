// hoist-slices: what nobody reads of a value is not computed. A slice of rows moves in front of the op that made them, where that computes row by row and has
// no other reader, and on from there. Of a model that goes on with one token of each text or picture, the last layer then computes one: its attention has one
// query. A product of which some columns are read of few rows alone, as the queries of such an attention, becomes two. Comes before the fusions, which would
// hide ops from each other, and before gradients: they are those of the rows that are left.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

#include <limits>

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

namespace {

/// Elements [start, start + size) of an axis.
struct Part {
  int64_t axis;
  Size start, size;

  static Part of(SliceOp slice) { return {static_cast<int64_t>(slice.getAxis()), Size::parse(slice.getStart().str()), Size::parse(slice.getSize().str())}; }
  Part along(int64_t other) const { return {other, start, size}; }
  bool operator==(const Part& other) const { return axis == other.axis && start == other.start && size == other.size; }
};

int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }
bool isOfColumns(SliceOp slice) { return static_cast<int64_t>(slice.getAxis()) + 1 == rankOf(slice.getX()); }

/// The part of a value, behind what makes it; there is one slice of a value for each part.
SliceOp sliced(Value value, const Part& part, Location loc) {
  OpBuilder builder(value.getContext());
  builder.setInsertionPointAfterValue(value);
  for (Operation* user : value.getUsers())
    if (auto known = dyn_cast<SliceOp>(user); known && Part::of(known) == part) {
      known->moveBefore(builder.getBlock(), builder.getInsertionPoint());
      return known;
    }
  return SliceOp::create(builder, loc, value, builder.getI64IntegerAttr(part.axis), builder.getStringAttr(part.start.str()),
                         builder.getStringAttr(part.size.str()));
}

/// The axis of each operand that a part of an op's result reads along; none: it reads the operand whole.
using Axes = SmallVector<std::optional<int64_t>>;

Axes axesOfElementwise(Operation* op, int64_t axis) {
  Axes axes;
  for (Value operand : op->getOperands()) {
    int64_t own = axis - (rankOf(op->getResult(0)) - rankOf(operand));
    bool broadcasts = own < 0 || sizesOf(operand)[static_cast<size_t>(own)] == Size(1);
    axes.push_back(broadcasts ? std::nullopt : std::optional(own));
  }
  return axes;
}

/// Queries do not see each other. Where they are causal, the last ones see the same keys without those before them.
std::optional<Axes> axesOfAttention(AttentionOp attention, const Part& part) {
  bool areLast = part.start + part.size == sizesOf(attention.getQ())[1];
  if (part.axis != 1 || attention.getDraws() || (attention.getCausal() && !areLast))
    return std::nullopt;
  Axes axes{1, std::nullopt, std::nullopt};
  if (attention.getBias()) // (heads, queries, keys)
    axes.push_back(1);
  return axes;
}

/// What a part of an op's result is made of; nothing where that is not known.
std::optional<Axes> axesFor(Operation* op, const Part& part) {
  bool isOfRows = part.axis + 1 < rankOf(op->getResult(0));
  if (isElementwise(op))
    return axesOfElementwise(op, part.axis);
  if (auto attention = dyn_cast<AttentionOp>(op))
    return axesOfAttention(attention, part);
  if (auto product = dyn_cast<MatmulOp>(op); product && rankOf(product.getB()) == 2)
    return isOfRows ? Axes{part.axis, std::nullopt} : Axes{std::nullopt, 0};
  if (isa<LayerNormOp, RmsNormOp, SoftmaxOp>(op) && isOfRows) {
    Axes axes(op->getNumOperands(), std::nullopt);
    axes[0] = part.axis;
    return axes;
  }
  return std::nullopt;
}

/// The part of the result of an op, made of parts of its operands.
Value computed(Operation* op, const Part& part, const Axes& axes, Location loc) {
  OpBuilder builder(op);
  Operation* narrow = builder.clone(*op);
  for (auto [operand, axis] : llvm::zip(narrow->getOpOperands(), axes))
    if (axis)
      operand.set(sliced(operand.get(), part.along(*axis), loc));
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  Sizes sizes = sizesOf(type);
  sizes[static_cast<size_t>(part.axis)] = part.size;
  narrow->getResult(0).setType(tensorOf(sizes, type.getElementType()));
  return narrow->getResult(0);
}

/// Whether the op may be computed in part.
bool isDivisible(Operation* op) { return op && isFree(op) && op->getNumResults() == 1 && !isa<SliceOp>(op); }

bool hoistRows(SliceOp slice) {
  Operation* op = slice.getX().getDefiningOp();
  if (isOfColumns(slice) || !isDivisible(op) || !slice.getX().hasOneUse())
    return false;
  Part part = Part::of(slice);
  std::optional<Axes> axes = axesFor(op, part);
  if (!axes)
    return false;
  slice.getResult().replaceAllUsesWith(computed(op, part, *axes, slice.getLoc()));
  slice.erase();
  op->erase();
  return true;
}

/// Columns that slices of one value take: from the first of them to the last, in constants.
struct Columns {
  int64_t begin = std::numeric_limits<int64_t>::max(), end = 0;
  SmallVector<SliceOp> slices = {};

  bool add(SliceOp slice) {
    Part part = Part::of(slice);
    std::optional<int64_t> start = part.start.constant(), size = part.size.constant();
    if (!start || !size)
      return false;
    begin = std::min(begin, *start);
    end = std::max(end, *start + *size);
    slices.push_back(slice);
    return true;
  }
  bool meet(const Columns& other) const { return begin < other.end && other.begin < end; }
  Part part(int64_t axis) const { return {axis, begin, end - begin}; }
};

/// Its slices as slices of the columns alone.
void giveTo(Columns& columns, Value narrow) {
  for (SliceOp slice : columns.slices) {
    Part part = Part::of(slice);
    part.start = part.start - Size(columns.begin);
    bool isAll = part.size == sizesOf(narrow).back();
    slice.getResult().replaceAllUsesWith(isAll ? narrow : sliced(narrow, part, slice.getLoc()).getResult());
    slice.erase();
  }
}

/// An op whose columns are read apart, those of one slice of few rows: it becomes two.
bool splitColumns(Operation* op) {
  if (!isDivisible(op) || !(isElementwise(op) || isa<MatmulOp>(op)))
    return false;
  Columns few, others;
  for (Operation* user : op->getUsers()) {
    auto slice = dyn_cast<SliceOp>(user);
    if (!slice || !isOfColumns(slice))
      return false;
    auto rows = slice->hasOneUse() ? dyn_cast<SliceOp>(*slice->getUsers().begin()) : SliceOp();
    if (!(rows && !isOfColumns(rows) ? few : others).add(slice))
      return false;
  }
  if (few.slices.size() != 1 || others.slices.empty() || few.meet(others)) // two slices of rows would both stay behind the op
    return false;
  int64_t last = rankOf(op->getResult(0)) - 1;
  std::optional<Axes> axes = axesFor(op, few.part(last));
  if (!axes)
    return false;
  for (Columns* columns : {&few, &others})
    giveTo(*columns, computed(op, columns->part(last), *axes, op->getLoc()));
  op->erase();
  return true;
}

bool hoistOne(func::FuncOp function) {
  SmallVector<SliceOp> slices(function.getOps<SliceOp>());
  for (SliceOp slice : llvm::reverse(slices))
    if (hoistRows(slice) || splitColumns(slice.getX().getDefiningOp()))
      return true;
  return false;
}

} // namespace

LogicalResult hoistSlices(func::FuncOp function) {
  while (hoistOne(function)) {
  }
  return success(); // each stands behind its operands: nothing to sort
}

} // namespace moec::compiler
