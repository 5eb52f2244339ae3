#include "ir/gradients/Rules.h"

#include "ir/ops/Infer.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moec::ir {

//===--- words ---===//

Value Rule::reduce(ReduceKind kind, Value x, int64_t axis) { return create<ReduceOp>(kind, x, static_cast<uint64_t>(axis)); }

Value Rule::slice(Value x, int64_t axis, const Size& start, const Size& size) {
  return create<SliceOp>(x, static_cast<uint64_t>(axis), start.str(), size.str());
}

Value Rule::cast(Value x, Type element) { return elementOf(x) == element ? x : create<CastOp>(x, element).getResult(); }

Value Rule::reshape(Value x, const Sizes& sizes) { return sizesOf(x) == sizes ? x : create<ReshapeOp>(tensorOf(sizes, elementOf(x)), x).getResult(); }

Value Rule::broadcast(Value x, const Sizes& sizes) { return sizesOf(x) == sizes ? x : create<BroadcastOp>(tensorOf(sizes, elementOf(x)), x).getResult(); }

Value Rule::transpose(Value x) {
  SmallVector<int64_t> permutation = llvm::to_vector(llvm::seq<int64_t>(0, static_cast<int64_t>(sizesOf(x).size())));
  std::swap(permutation[permutation.size() - 1], permutation[permutation.size() - 2]);
  return create<TransposeOp>(x, permutation);
}

Value Rule::constant(double value, Type element) {
  return create<ConstantOp>(DenseElementsAttr::get(RankedTensorType::get({}, element), FloatAttr::get(element, value).getValue()));
}

Value Rule::filled(double value, const Sizes& sizes, Type element) { return broadcast(constant(value, element), sizes); }

Type Rule::computeElement(Value value) {
  Type element = elementOf(value);
  return element.isBF16() ? Float32Type::get(value.getContext()) : element;
}

//===--- sums ---===//

Value Rule::sumTo(Value x, const Sizes& sizes) {
  Sizes from = sizesOf(x);
  if (from == sizes)
    return x;
  size_t missing = from.size() - sizes.size();
  auto isSummed = [&](size_t axis) { return axis < missing || (sizes[axis - missing] == Size(1) && from[axis] != Size(1)); };
  if (isSummed(0))
    x = withoutUndefinedRows(x);
  // Neighbours become one dimension, so that one op sums over all of them; then the last first, so that places stay.
  Sizes joined;
  std::vector<bool> summed;
  for (size_t axis = 0; axis < from.size(); ++axis) {
    if (axis > 0 && isSummed(axis) == summed.back()) {
      joined.back() = joined.back() * from[axis];
      continue;
    }
    joined.push_back(from[axis]);
    summed.push_back(isSummed(axis));
  }
  x = reshape(x, joined);
  for (size_t axis = joined.size(); axis-- > 0;)
    if (summed[axis])
      x = reduce(ReduceKind::Sum, x, static_cast<int64_t>(axis));
  return reshape(x, sizes);
}

Value Rule::sumRows(Value x) { return sumTo(x, {sizesOf(x).back()}); }

Value Rule::withoutUndefinedRows(Value x) {
  Value routing = raggedRouting(x);
  return routing ? withoutRowsBehind(routing, x, 0) : x;
}

Value Rule::withoutRowsBehind(Value routing, Value x, size_t axis) {
  auto type = mlir::cast<RoutingType>(routing.getType());
  Value column = create<RowWeightsOp>(filled(1, {tokensOf(type), type.getChoices()}, elementOf(x)), routing); // 0 behind the count
  Sizes sizes(sizesOf(x).size(), Size(1));
  sizes[axis] = rowsOf(type);
  return where(compare(Predicate::GT, reshape(column, sizes), zero(x)), x, zero(x));
}

/// Whether an assignment drops no row: every index is an expert's, and nothing limits it.
static bool keepsAll(Value routing) {
  auto assign = routing.getDefiningOp<AssignOp>();
  return assign && !assign.getKeep() && !assign.getWithin() && !assign.getCapacity() && assign.getIndices().getDefiningOp<SelectOp>();
}

/// Whether two values have the same size along the first dimension. Sizes have one text each, so no size is read: this is asked of many values.
static bool agreeInRows(Value a, Value b) {
  auto rows = [](Value value) -> std::pair<int64_t, Attribute> {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type || type.getRank() == 0)
      return {-1, {}};
    auto sizes = dyn_cast_or_null<SizesAttr>(type.getEncoding());
    return type.isDynamicDim(0) && sizes ? std::pair<int64_t, Attribute>(-2, sizes.getDims()[0]) : std::pair<int64_t, Attribute>(type.getDimSize(0), {});
  };
  return rows(a).first != -1 && rows(a) == rows(b);
}

Value raggedRouting(Value value) {
  // Back over what works row by row. Rows of a dense part end at its inputs, at parameters and at combine.
  SmallVector<Value> open{value};
  llvm::DenseSet<Value> seen;
  while (!open.empty()) {
    Value next = open.pop_back_val();
    Operation* op = next.getDefiningOp();
    if (!op || !seen.insert(next).second)
      continue;
    Value routing = llvm::TypeSwitch<Operation*, Value>(op)
                        .Case<DispatchOp, ExpertRowsOp, RowWeightsOp, GroupedMatmulOp>([](auto ragged) { return ragged.getRouting(); })
                        .Default([](Operation*) { return Value(); });
    if (routing && !keepsAll(routing))
      return routing;
    auto exchange = dyn_cast<TransposeOp>(op);
    if (routing || isa<CombineOp, ChoiceValuesOp, ExpertSumsOp, GroupedWeightGradOp, EmbeddingGradOp, RelativeBiasGradOp>(op) ||
        (exchange && exchange.getPermutation().front() != 0))
      continue;
    for (Value operand : isa<MatmulOp>(op) ? op->getOperands().take_front(1) : op->getOperands())
      if (agreeInRows(operand, next))
        open.push_back(operand);
  }
  return {};
}

//===--- the way to a rule ---===//

bool isDifferentiable(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && isa<FloatType>(type.getElementType());
}

/// What is constant, or a choice: no gradient flows through.
static bool isFlat(Operation* op) {
  return isa<ReadOp, DetachOp, CompareOp, ConstantOp, SizeOp, RandomOp, IsTopOp, AssignOp, DropOp, ExpertsOfOp, ExpertCountsOp, PlacesOp, SwipeOp>(op);
}

LogicalResult emitGradient(Operation* op, ArrayRef<Value> dResults, OpBuilder& builder, MutableArrayRef<Value> dOperands) {
  if (isFlat(op) || llvm::none_of(op->getResults(), isDifferentiable))
    return success();
  Rule rule(op, dResults, builder, dOperands);
  for (auto family : {emitElementwiseGradient, emitShapeGradient, emitLayerGradient, emitAttentionGradient, emitRoutingGradient})
    if (std::optional<LogicalResult> emitted = family(rule))
      return *emitted;
  return op->emitError() << op->getName() << " has no gradient, and a loss depends on it: ops of gradients and of kernels do not stand in @loss";
}

} // namespace moec::ir
