// KernelBuilder: types, constants and arithmetic.
#include "codegen/cpu/KernelBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

namespace moec::codegen::cpu {

using namespace mlir;

//===--- types ---===//

Type KernelBuilder::i1() { return builder_.getI1Type(); }
Type KernelBuilder::i8() { return builder_.getI8Type(); }
Type KernelBuilder::i32() { return builder_.getI32Type(); }
Type KernelBuilder::i64() { return builder_.getI64Type(); }
Type KernelBuilder::f32() { return builder_.getF32Type(); }
Type KernelBuilder::f64() { return builder_.getF64Type(); }

Type KernelBuilder::typeOf(DType dtype) {
  switch (dtype) {
  case DType::F64:
    return f64();
  case DType::F32:
  case DType::BF16:
    return f32();
  case DType::I64:
    return i64();
  case DType::I32:
    return i32();
  case DType::U8:
    return i8();
  case DType::Bool:
    return i1();
  }
  return {};
}

Type KernelBuilder::vectorOf(Type element, int64_t lanes) { return lanes == 1 ? element : Type(VectorType::get({lanes}, element)); }

int64_t KernelBuilder::lanesOf(Value value) {
  auto vector = dyn_cast<VectorType>(value.getType());
  return vector ? vector.getNumElements() : 1;
}

Type KernelBuilder::elementOf(Type type) { return getElementTypeOrSelf(type); }

//===--- constants ---===//

Value KernelBuilder::index(int64_t value) { return integer(i64(), value); }

Value KernelBuilder::integer(Type type, int64_t value) {
  Type element = elementOf(type);
  TypedAttr attr = IntegerAttr::get(element, APInt(element.getIntOrFloatBitWidth(), value, true, true));
  if (auto vector = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(vector, attr);
  return arith::ConstantOp::create(builder_, loc_, attr);
}

Value KernelBuilder::real(Type type, double value) {
  TypedAttr attr = FloatAttr::get(elementOf(type), value);
  if (auto vector = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(vector, attr);
  return arith::ConstantOp::create(builder_, loc_, attr);
}

Value KernelBuilder::zero(Type type) { return isa<FloatType>(elementOf(type)) ? real(type, 0) : integer(type, 0); }

std::optional<int64_t> KernelBuilder::constantOf(Value value) {
  APInt constant;
  if (matchPattern(value, m_ConstantInt(&constant)))
    return constant.getSExtValue();
  return std::nullopt;
}

//===--- arithmetic ---===//

namespace {
bool isFloating(Value value) { return isa<FloatType>(KernelBuilder::elementOf(value)); }
} // namespace

#define MOEC_BINARY(name, FloatOp, IntegerOp)                                                                                       \
  Value KernelBuilder::name(Value a, Value b) {                                                                                     \
    return isFloating(a) ? builder_.createOrFold<arith::FloatOp>(loc_, a, b) : builder_.createOrFold<arith::IntegerOp>(loc_, a, b); \
  }
MOEC_BINARY(add, AddFOp, AddIOp)
MOEC_BINARY(sub, SubFOp, SubIOp)
MOEC_BINARY(mul, MulFOp, MulIOp)
MOEC_BINARY(div, DivFOp, DivSIOp)
MOEC_BINARY(rem, RemFOp, RemSIOp)
MOEC_BINARY(min, MinimumFOp, MinSIOp)
MOEC_BINARY(max, MaximumFOp, MaxSIOp)
#undef MOEC_BINARY

Value KernelBuilder::neg(Value a) { return isFloating(a) ? builder_.createOrFold<arith::NegFOp>(loc_, a) : sub(zero(a.getType()), a); }
Value KernelBuilder::bitAnd(Value a, Value b) { return builder_.createOrFold<arith::AndIOp>(loc_, a, b); }
Value KernelBuilder::bitOr(Value a, Value b) { return builder_.createOrFold<arith::OrIOp>(loc_, a, b); }
Value KernelBuilder::bitXor(Value a, Value b) { return builder_.createOrFold<arith::XOrIOp>(loc_, a, b); }
Value KernelBuilder::shiftLeft(Value a, int64_t bits) { return builder_.createOrFold<arith::ShLIOp>(loc_, a, integer(a.getType(), bits)); }
Value KernelBuilder::shiftRight(Value a, int64_t bits) { return builder_.createOrFold<arith::ShRUIOp>(loc_, a, integer(a.getType(), bits)); }
Value KernelBuilder::shiftRightSigned(Value a, int64_t bits) { return builder_.createOrFold<arith::ShRSIOp>(loc_, a, integer(a.getType(), bits)); }
Value KernelBuilder::notOf(Value mask) { return bitXor(mask, integer(mask.getType(), -1)); }

Value KernelBuilder::compare(ir::Predicate predicate, Value a, Value b) {
  using P = ir::Predicate;
  using F = arith::CmpFPredicate;
  using I = arith::CmpIPredicate;
  auto pick = [&](auto eq, auto ne, auto lt, auto le, auto gt, auto ge) {
    switch (predicate) {
    case P::EQ:
      return eq;
    case P::NE:
      return ne;
    case P::LT:
      return lt;
    case P::LE:
      return le;
    case P::GT:
      return gt;
    case P::GE:
      return ge;
    }
    return eq;
  };
  if (isFloating(a))
    return builder_.createOrFold<arith::CmpFOp>(loc_, pick(F::OEQ, F::UNE, F::OLT, F::OLE, F::OGT, F::OGE), a, b);
  return builder_.createOrFold<arith::CmpIOp>(loc_, pick(I::eq, I::ne, I::slt, I::sle, I::sgt, I::sge), a, b);
}

Value KernelBuilder::compareUnsigned(ir::Predicate predicate, Value a, Value b) {
  using P = ir::Predicate;
  using I = arith::CmpIPredicate;
  I kind = I::eq;
  switch (predicate) {
  case P::EQ:
    kind = I::eq;
    break;
  case P::NE:
    kind = I::ne;
    break;
  case P::LT:
    kind = I::ult;
    break;
  case P::LE:
    kind = I::ule;
    break;
  case P::GT:
    kind = I::ugt;
    break;
  case P::GE:
    kind = I::uge;
    break;
  }
  return builder_.createOrFold<arith::CmpIOp>(loc_, kind, a, b);
}

Value KernelBuilder::isNan(Value a) { return builder_.createOrFold<arith::CmpFOp>(loc_, arith::CmpFPredicate::UNO, a, a); }

Value KernelBuilder::larger(Value a, Value b) { return choose(compare(ir::Predicate::GT, b, a), b, a); }

Value KernelBuilder::choose(Value condition, Value yes, Value no) { return builder_.createOrFold<arith::SelectOp>(loc_, condition, yes, no); }

//===--- conversions ---===//

Value KernelBuilder::bits(Value value, Type element) { return builder_.createOrFold<arith::BitcastOp>(loc_, like(value, element), value); }

Value KernelBuilder::toFloat(Value value, Type element) {
  Type from = elementOf(value), to = like(value, element);
  if (from == element)
    return value;
  if (isa<FloatType>(from))
    return from.getIntOrFloatBitWidth() < element.getIntOrFloatBitWidth() ? builder_.createOrFold<arith::ExtFOp>(loc_, to, value)
                                                                          : builder_.createOrFold<arith::TruncFOp>(loc_, to, value);
  // i1 and i8 hold no negative numbers; through i32, since conversions of small integers are slow and those of i1 are signed.
  if (from.getIntOrFloatBitWidth() <= 8)
    value = widenUnsigned(value, i32());
  return builder_.createOrFold<arith::SIToFPOp>(loc_, to, value);
}

Value KernelBuilder::toInteger(Value value, Type element) {
  Type from = elementOf(value), to = like(value, element);
  if (from == element)
    return value;
  if (isa<FloatType>(from))
    return builder_.createOrFold<arith::FPToSIOp>(loc_, to, value);
  return from.getIntOrFloatBitWidth() < element.getIntOrFloatBitWidth() ? builder_.createOrFold<arith::ExtSIOp>(loc_, to, value)
                                                                        : builder_.createOrFold<arith::TruncIOp>(loc_, to, value);
}

Value KernelBuilder::widenUnsigned(Value value, Type element) {
  if (elementOf(value) == element)
    return value;
  return builder_.createOrFold<arith::ExtUIOp>(loc_, like(value, element), value);
}

} // namespace moec::codegen::cpu
