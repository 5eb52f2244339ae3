// Ops that move elements, and reductions.

#include "ir/gradients/Rules.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moec::ir {

namespace {

void emitTranspose(Rule& rule, TransposeOp op) {
  SmallVector<int64_t> inverse(op.getPermutation().size());
  for (auto [to, from] : llvm::enumerate(op.getPermutation()))
    inverse[from] = static_cast<int64_t>(to);
  rule.give(0, rule.create<TransposeOp>(rule.dy(), inverse));
}

/// dy between zeros for what the slice left out.
void emitSlice(Rule& rule, SliceOp op) {
  auto axis = static_cast<size_t>(op.getAxis());
  Sizes sizes = sizesOf(op.getX());
  Size start = Size::parse(op.getStart().str()), size = Size::parse(op.getSize().str()), behind = sizes[axis] - start - size;
  SmallVector<Value> parts;
  auto addZeros = [&](const Size& count) {
    if (count == Size(0))
      return;
    sizes[axis] = count;
    parts.push_back(rule.filled(0, sizes, Rule::elementOf(op.getX())));
  };
  addZeros(start);
  parts.push_back(rule.dy());
  addZeros(behind);
  rule.give(0, parts.size() == 1 ? parts[0] : rule.create<ConcatOp>(parts, op.getAxis()).getResult());
}

void emitConcat(Rule& rule, ConcatOp op) {
  auto axis = static_cast<int64_t>(op.getAxis());
  Size start = 0;
  for (auto [index, x] : llvm::enumerate(op.getXs())) {
    Size size = sizesOf(x)[static_cast<size_t>(axis)];
    rule.give(static_cast<unsigned>(index), rule.slice(rule.dy(), axis, start, size));
    start = start + size;
  }
}

/// dy divided by the length of an axis.
Value meanOf(Rule& rule, Value dy, const Size& length) {
  Type element = Rule::elementOf(dy), compute = Rule::computeElement(dy);
  Value count = length.constant() ? rule.constant(static_cast<double>(*length.constant()), compute) : rule.create<SizeOp>(length.str(), compute).getResult();
  return rule.cast(rule.div(rule.cast(dy, compute), count), element);
}

/// Evenly to all elements that are the maximum.
Value toMaxima(Rule& rule, Value x, Value dyKept, Value yKept, int64_t axis) {
  Type element = Rule::elementOf(x), compute = Rule::computeElement(x);
  Value highest = rule.compare(Predicate::EQ, x, yKept);
  Value ones = rule.where(highest, rule.constant(1, compute), rule.constant(0, compute));
  Value count = rule.reshape(rule.reduce(ReduceKind::Sum, ones, axis), sizesOf(dyKept));
  Value share = rule.cast(rule.div(rule.cast(dyKept, compute), count), element);
  return rule.where(highest, share, rule.zero(x));
}

void emitReduce(Rule& rule, ReduceOp op) {
  auto axis = static_cast<size_t>(op.getAxis());
  Sizes sizes = sizesOf(op.getX()), kept = sizes;
  kept[axis] = 1;
  Value dy = rule.reshape(rule.dy(), kept);
  if (op.getKind() == ReduceKind::Max)
    return rule.give(0, toMaxima(rule, op.getX(), dy, rule.reshape(rule.result(), kept), static_cast<int64_t>(axis)));
  if (op.getKind() == ReduceKind::Mean)
    dy = meanOf(rule, dy, sizes[axis]);
  rule.give(0, rule.broadcast(dy, sizes));
}

} // namespace

std::optional<LogicalResult> emitShapeGradient(Rule& rule) {
  bool known = true;
  llvm::TypeSwitch<Operation*>(rule.op())
      .Case([&](ReshapeOp op) { rule.give(0, rule.reshape(rule.dy(), sizesOf(op.getX()))); })
      .Case([&](TransposeOp op) { emitTranspose(rule, op); })
      .Case([&](SliceOp op) { emitSlice(rule, op); })
      .Case([&](ConcatOp op) { emitConcat(rule, op); })
      .Case([&](BroadcastOp) { rule.giveSummed(0, rule.dy()); })
      .Case([&](ReduceOp op) { emitReduce(rule, op); })
      .Default([&](Operation*) { known = false; });
  return known ? std::optional(success()) : std::nullopt;
}

} // namespace moec::ir
