#include "codegen/cpu/VectorMath.h"

#include "codegen/cpu/VectorMathFormats.h"

namespace moec::codegen::cpu {

namespace {

using Function = Value (*)(KernelBuilder& k, Value x);

/// f32 is computed in f32 where products can be added in one rounding, elsewhere in f64.
Value inFormat(KernelBuilder& k, Value x, Function single, Function wide) {
  if (KernelBuilder::elementOf(x).isF64())
    return wide(k, x);
  return k.target().hasFma ? single(k, x) : k.toFloat(wide(k, k.toFloat(x, k.f64())), k.f32());
}

} // namespace

Value exp(KernelBuilder& k, Value x) { return inFormat(k, x, single::exp, wide::exp); }
Value expOfNegative(KernelBuilder& k, Value x) { return inFormat(k, x, single::expOfNegative, wide::expOfNegative); }
Value expm1(KernelBuilder& k, Value x) { return inFormat(k, x, single::expm1, wide::expm1); }
Value log(KernelBuilder& k, Value x) { return inFormat(k, x, single::log, wide::log); }
Value tanh(KernelBuilder& k, Value x) { return inFormat(k, x, single::tanh, wide::tanh); }
Value sigmoid(KernelBuilder& k, Value x) { return inFormat(k, x, single::sigmoid, wide::sigmoid); }
Value softplus(KernelBuilder& k, Value x) { return inFormat(k, x, single::softplus, wide::softplus); }
Value erf(KernelBuilder& k, Value x) { return inFormat(k, x, single::erf, wide::erf); }
Value gelu(KernelBuilder& k, Value x) { return inFormat(k, x, single::gelu, wide::gelu); }
Value geluTanh(KernelBuilder& k, Value x) { return inFormat(k, x, single::geluTanh, wide::geluTanh); }
Value silu(KernelBuilder& k, Value x) { return inFormat(k, x, single::silu, wide::silu); }
Value geluGrad(KernelBuilder& k, Value x) { return inFormat(k, x, single::geluGrad, wide::geluGrad); }
Value geluTanhGrad(KernelBuilder& k, Value x) { return inFormat(k, x, single::geluTanhGrad, wide::geluTanhGrad); }

Values geluAndGrad(KernelBuilder& k, Value x) {
  bool isSingle = !KernelBuilder::elementOf(x).isF64() && k.target().hasFma;
  return isSingle ? single::geluAndGrad(k, x) : Values{gelu(k, x), geluGrad(k, x)};
}

Value relu(KernelBuilder& k, Value x) {
  Value zero = k.zero(x.getType());
  return k.choose(k.compare(ir::Predicate::LT, x, zero), zero, x);
}

Value leakyRelu(KernelBuilder& k, Value x, double slope) {
  return k.choose(k.compare(ir::Predicate::LT, x, k.zero(x.getType())), k.mul(x, k.real(x.getType(), slope)), x);
}

Value elu(KernelBuilder& k, Value x, double alpha) {
  Value negative = k.mul(k.real(x.getType(), alpha), expm1(k, x));
  return k.choose(k.compare(ir::Predicate::GT, x, k.zero(x.getType())), x, negative);
}

} // namespace moec::codegen::cpu
