#include "ir/ops/Infer.h"

using namespace mlir;

namespace moec::ir {

FailureOr<Shaped> shaped(OptionalLocation location, Value value) {
  if (!isModelTensor(value.getType()))
    return emitOptionalError(location,
                             "tensor C1: an operand is a ranked tensor of f64, f32, bf16, i64, i32, ui8 or i1 whose "
                             "dynamic sizes are in #moe.sizes; this one is ",
                             value.getType());
  auto type = cast<RankedTensorType>(value.getType());
  return Shaped{sizesOf(type), type.getElementType()};
}

FailureOr<std::vector<Shaped>> shaped(OptionalLocation location, ValueRange values) {
  std::vector<Shaped> result;
  for (Value value : values) {
    FailureOr<Shaped> one = shaped(location, value);
    if (failed(one))
      return failure();
    result.push_back(std::move(*one));
  }
  return result;
}

FailureOr<RoutingType> routingOf(OptionalLocation location, Value value) {
  if (auto type = dyn_cast<RoutingType>(value.getType()))
    return type;
  return emitOptionalError(location, "routing C3: the operand is a !moe.routing; this one is ", value.getType());
}

Size tokensOf(RoutingType type) { return Size::parse(type.getTokens().getValue()); }
Size pairsOf(RoutingType type) { return tokensOf(type) * Size(type.getChoices()); }
Size rowsOf(RoutingType type) { return type.getBound() ? Size::parse(type.getBound().getValue()) : pairsOf(type); }

LogicalResult sameElement(OptionalLocation location, StringRef constraint, StringRef aName, const Shaped& a, StringRef bName, const Shaped& b) {
  if (a.element == b.element)
    return success();
  return emitOptionalError(location, constraint, ": ", aName, " and ", bName, " share one dtype: ", aName, " is ", dtypeName(a.element), ", ", bName, " is ",
                           dtypeName(b.element));
}

LogicalResult checkFloat(OptionalLocation location, StringRef constraint, StringRef name, const Shaped& x) {
  if (x.isFloat())
    return success();
  return emitOptionalError(location, constraint, ": ", name, " is f64, f32 or bf16: it is ", dtypeName(x.element));
}

LogicalResult checkPosition(OptionalLocation location, StringRef constraint, Value position) {
  if (!position)
    return success();
  FailureOr<Shaped> scalar = shaped(location, position);
  if (failed(scalar))
    return failure();
  if (scalar->rank() == 0 && scalar->element.isSignlessInteger(64))
    return success();
  return emitOptionalError(location, constraint, ": position is an i64 []: it is ", dtypeName(scalar->element), scalar->text());
}

std::string dtypeName(Type element) { return std::string(name(dtypeOf(element))); }

} // namespace moec::ir
