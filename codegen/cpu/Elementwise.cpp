#include "codegen/cpu/Elementwise.h"

#include "codegen/cpu/VectorMath.h"

#include "llvm/ADT/TypeSwitch.h"

namespace moec::codegen::cpu {

namespace {

/// A float that rounds to bf16 as x does, which it may not hold: towards zero, and its last bit tells that something was cut off.
Value floatForBf16(KernelBuilder& k, Value x) {
  Value wide = k.toFloat(x, k.f64()), nearest = k.toFloat(wide, k.f32()), back = k.toFloat(nearest, k.f64());
  Value word = k.bits(nearest, k.i32());
  Value cut = k.choose(k.compare(ir::Predicate::GT, k.abs(back), k.abs(wide)), k.sub(word, 1), word);
  Value exact = k.compare(ir::Predicate::EQ, back, wide);
  return k.bits(k.choose(exact, word, k.bitOr(cut, k.integer(word.getType(), 1))), k.f32());
}

/// Towards zero; what i32 does not hold becomes its nearest number, NaN 0.
Value toI32(KernelBuilder& k, Value x) {
  auto real = [&](double value) { return k.real(x.getType(), value); };
  auto integer = [&](int64_t value) { return k.integer(k.like(x, k.i32()), value); };
  Value high = k.compare(ir::Predicate::GE, x, real(0x1p31)), low = k.compare(ir::Predicate::LT, x, real(-0x1p31));
  Value outside = k.bitOr(k.bitOr(high, low), k.isNan(x));
  Value inside = k.toInteger(k.choose(outside, real(0), x), k.i32());
  return k.choose(high, integer(INT32_MAX), k.choose(low, integer(INT32_MIN), inside));
}

Value cast(KernelBuilder& k, ir::CastOp op, Value x) {
  DType from = dtypeOf(op.getX()), to = ir::dtypeOf(op.getTo());
  if (to == DType::I32)
    return toI32(k, x);
  bool wide = from == DType::F64 || from == DType::I64 || from == DType::I32;
  return to == DType::BF16 && wide ? floatForBf16(k, x) : k.toFloat(x, k.typeOf(to));
}

Value unary(KernelBuilder& k, mlir::Operation* op, Value x) {
  return llvm::TypeSwitch<mlir::Operation*, Value>(op)
      .Case([&](ir::NegOp) { return k.neg(x); })
      .Case([&](ir::DetachOp) { return x; })
      .Case([&](ir::ExpOp) { return exp(k, x); })
      .Case([&](ir::LogOp) { return log(k, x); })
      .Case([&](ir::SqrtOp) { return k.sqrt(x); })
      .Case([&](ir::TanhOp) { return tanh(k, x); })
      .Case([&](ir::SigmoidOp) { return sigmoid(k, x); })
      .Case([&](ir::SoftplusOp) { return softplus(k, x); })
      .Case([&](ir::ReluOp) { return relu(k, x); })
      .Case([&](ir::ErfOp) { return erf(k, x); })
      .Case([&](ir::GeluOp) { return gelu(k, x); })
      .Case([&](ir::GeluTanhOp) { return geluTanh(k, x); })
      .Case([&](ir::SiluOp) { return silu(k, x); })
      .Case([&](ir::GeluGradOp) { return geluGrad(k, x); })
      .Case([&](ir::GeluTanhGradOp) { return geluTanhGrad(k, x); })
      .Case([&](ir::LeakyReluOp leaky) { return leakyRelu(k, x, leaky.getSlope().convertToDouble()); })
      .Case([&](ir::EluOp elu) { return cpu::elu(k, x, elu.getAlpha().convertToDouble()); })
      .Case([&](ir::CastOp op) { return cast(k, op, x); })
      .Default([](mlir::Operation*) { return Value(); });
}

Value binary(KernelBuilder& k, mlir::Operation* op, Value a, Value b) {
  return llvm::TypeSwitch<mlir::Operation*, Value>(op)
      .Case([&](ir::AddOp) { return k.add(a, b); })
      .Case([&](ir::SubOp) { return k.sub(a, b); })
      .Case([&](ir::MulOp) { return k.mul(a, b); })
      .Case([&](ir::DivOp) { return k.div(a, b); })
      .Case([&](ir::MinOp) { return k.min(a, b); })
      .Case([&](ir::MaxOp) { return k.max(a, b); })
      .Case([&](ir::CompareOp compare) { return k.compare(compare.getPredicate(), a, b); })
      .Default([](mlir::Operation*) { return Value(); });
}

} // namespace

Value elementwise(KernelBuilder& k, mlir::Operation* op, llvm::ArrayRef<Value> operands) {
  if (mlir::isa<ir::WhereOp>(op))
    return k.choose(operands[0], operands[1], operands[2]);
  llvm::SmallVector<Value> values(operands);
  // Bytes and booleans have no sign: what compares them sees wider integers.
  DType from = dtypeOf(op->getOperand(0)), to = dtypeOf(op->getResult(0));
  bool small = (from == DType::U8 || from == DType::Bool) && !mlir::isa<ir::CastOp>(op);
  for (Value& value : values)
    value = small ? k.widenUnsigned(value, k.i32()) : value;
  Value result = values.size() == 1 ? unary(k, op, values[0]) : binary(k, op, values[0], values[1]);
  if (!result)
    return result;
  if (small && KernelBuilder::elementOf(result) != k.typeOf(to))
    result = k.toInteger(result, k.typeOf(to));
  return k.roundTo(to, result);
}

Value numberOf(KernelBuilder& k, ir::SizeOp op) {
  DType dtype = dtypeOf(op.getResult());
  Value number = k.size(Size::parse(op.getValue().str()));
  if (dtype == DType::I32) // where i32 does not hold it, its nearest number
    return k.toInteger(k.min(k.max(number, k.index(INT32_MIN)), k.index(INT32_MAX)), k.i32());
  return k.roundTo(dtype, dtype == DType::BF16 ? floatForBf16(k, number) : k.toFloat(number, k.typeOf(dtype)));
}

int64_t elementCost(mlir::Operation* op) {
  if (mlir::isa<ir::RandomOp, ir::RotaryOp>(op))
    return 80;
  if (mlir::isa<ir::RelativeBiasOp>(op))
    return 16;
  bool transcendental = mlir::isa<ir::ExpOp, ir::LogOp, ir::TanhOp, ir::SigmoidOp, ir::SoftplusOp, ir::ErfOp, ir::GeluOp, ir::GeluTanhOp, ir::SiluOp, ir::EluOp,
                                  ir::GeluGradOp, ir::GeluTanhGradOp>(op);
  return transcendental ? 30 : 1;
}

} // namespace moec::codegen::cpu
