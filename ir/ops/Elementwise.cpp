#include "ir/ops/Infer.h"

using namespace mlir;

namespace moec::ir {

static LogicalResult inferUnary(OptionalLocation location, StringRef op, bool integersToo, Value operand, Types& types) {
  FailureOr<Shaped> x = shaped(location, operand);
  if (failed(x))
    return failure();
  if (!(integersToo ? x->isNumber() : x->isFloat()))
    return emitOptionalError(location, "unary C1: ", op, " takes ", integersToo ? "f64, f32, bf16, i64 or i32" : "f64, f32 or bf16", ": x is ",
                             dtypeName(x->element));
  types.push_back(operand.getType());
  return success();
}

static LogicalResult checkFinite(OptionalLocation location, StringRef constraint, StringRef name, double value) {
  if (std::isfinite(value))
    return success();
  return emitOptionalError(location, constraint, ": ", name, " is finite: it is ", std::isnan(value) ? "NaN" : "infinite");
}

#define MOEC_UNARY(Op, integersToo) \
  MOEC_INFER(Op) { return inferUnary(location, getOperationName(), integersToo, adaptor.getX(), types); }
MOEC_UNARY(NegOp, true)
MOEC_UNARY(DetachOp, false)
MOEC_UNARY(ExpOp, false)
MOEC_UNARY(LogOp, false)
MOEC_UNARY(SqrtOp, false)
MOEC_UNARY(TanhOp, false)
MOEC_UNARY(SigmoidOp, false)
MOEC_UNARY(SoftplusOp, false)
MOEC_UNARY(ReluOp, false)
MOEC_UNARY(ErfOp, false)
MOEC_UNARY(GeluOp, false)
MOEC_UNARY(GeluTanhOp, false)
MOEC_UNARY(SiluOp, false)
MOEC_UNARY(GeluGradOp, false)
MOEC_UNARY(GeluTanhGradOp, false)
#undef MOEC_UNARY

MOEC_INFER(LeakyReluOp) {
  if (failed(checkFinite(location, "unary C2", "slope", adaptor.getSlope().convertToDouble())))
    return failure();
  return inferUnary(location, getOperationName(), false, adaptor.getX(), types);
}

MOEC_INFER(EluOp) {
  if (failed(checkFinite(location, "unary C2", "alpha", adaptor.getAlpha().convertToDouble())))
    return failure();
  return inferUnary(location, getOperationName(), false, adaptor.getX(), types);
}

/// The dtypes that a binary op takes.
enum class Takes { Floats, Numbers, NumbersAndBits, All };

static LogicalResult inferBinary(OptionalLocation location, StringRef op, Takes takes, Type resultElement, Value left, Value right, Types& types) {
  FailureOr<Shaped> a = shaped(location, left), b = shaped(location, right);
  if (failed(a) || failed(b) || failed(sameElement(location, "binary C1", "a", *a, "b", *b)))
    return failure();
  std::optional<Sizes> sizes = broadcastSizes(a->sizes, b->sizes);
  if (!sizes)
    return emitOptionalError(location, "binary C2: the shapes of a and b broadcast: a is ", a->text(), ", b is ", b->text());
  bool bits = a->element.isSignlessInteger(1);
  bool known = takes == Takes::All || a->isFloat() || (takes != Takes::Floats && a->isNumber()) || (takes == Takes::NumbersAndBits && bits);
  if (!known)
    return emitOptionalError(location, "binary C3: ", op, " takes ",
                             takes == Takes::Floats    ? "f64, f32 or bf16"
                             : takes == Takes::Numbers ? "f64, f32, bf16, i64 or i32"
                                                       : "f64, f32, bf16, i64, i32 or bool",
                             ": a and b are ", dtypeName(a->element));
  types.push_back(tensorOf(*sizes, resultElement ? resultElement : a->element));
  return success();
}

#define MOEC_BINARY(Op, takes) \
  MOEC_INFER(Op) { return inferBinary(location, getOperationName(), takes, {}, adaptor.getA(), adaptor.getB(), types); }
MOEC_BINARY(AddOp, Takes::Numbers)
MOEC_BINARY(SubOp, Takes::Numbers)
MOEC_BINARY(MulOp, Takes::Numbers)
MOEC_BINARY(DivOp, Takes::Floats)
MOEC_BINARY(MinOp, Takes::NumbersAndBits)
MOEC_BINARY(MaxOp, Takes::NumbersAndBits)
#undef MOEC_BINARY

MOEC_INFER(CompareOp) { return inferBinary(location, getOperationName(), Takes::All, IntegerType::get(context, 1), adaptor.getA(), adaptor.getB(), types); }

MOEC_INFER(WhereOp) {
  FailureOr<Shaped> condition = shaped(location, adaptor.getCondition()), a = shaped(location, adaptor.getA()), b = shaped(location, adaptor.getB());
  if (failed(condition) || failed(a) || failed(b) || failed(sameElement(location, "where C1", "a", *a, "b", *b)))
    return failure();
  if (!condition->element.isSignlessInteger(1))
    return emitOptionalError(location, "where C2: the condition is bool: it is ", dtypeName(condition->element));
  std::optional<Sizes> sizes = broadcastSizes(a->sizes, b->sizes);
  if (sizes)
    sizes = broadcastSizes(*sizes, condition->sizes);
  if (!sizes)
    return emitOptionalError(location, "where C3: the shapes broadcast: the condition is ", condition->text(), ", a is ", a->text(), ", b is ", b->text());
  types.push_back(tensorOf(*sizes, a->element));
  return success();
}

MOEC_INFER(CastOp) {
  FailureOr<Shaped> x = shaped(location, adaptor.getX());
  if (failed(x))
    return failure();
  Type to = adaptor.getTo();
  if (!to.isF64() && !to.isF32() && !to.isBF16() && !to.isSignlessInteger(32))
    return emitOptionalError(location, "cast C1: the new dtype is f64, f32, bf16 or i32: it is ", to);
  if (to.isSignlessInteger(32) && !x->isFloat())
    return emitOptionalError(location, "cast C2: what becomes i32 is f64, f32 or bf16: it is ", dtypeName(x->element));
  types.push_back(tensorOf(x->sizes, to));
  return success();
}

MOEC_INFER(ConstantOp) {
  Type type = adaptor.getValue().getType();
  if (!isModelTensor(type) || !cast<RankedTensorType>(type).hasStaticShape())
    return emitOptionalError(location,
                             "constant C1: the value is a ranked tensor of f64, f32, bf16, i64, i32, ui8 or i1 of constant "
                             "sizes: it is ",
                             type);
  if (!isa<DenseElementsAttr>(adaptor.getValue()))
    return emitOptionalError(location, "constant C2: the value is dense<...>");
  types.push_back(type);
  return success();
}

} // namespace moec::ir
