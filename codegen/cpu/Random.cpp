// Draws, operation by operation as runtime/core/Philox.h and FixedMath.h compute them.
#include "codegen/cpu/Elementwise.h"

#include "runtime/core/FixedMath.h"

namespace moec::codegen::cpu {

namespace {

using ir::Predicate;
constexpr int64_t kLow32 = 0xFFFFFFFF;

/// The four words of one draw, each in the low half of an i64.
std::array<Value, 4> philox(KernelBuilder& k, unsigned stream, Value element) {
  int64_t lanes = KernelBuilder::lanesOf(element);
  auto low = [&](Value word) { return k.bitAnd(word, k.integer(word.getType(), kLow32)); };
  auto all = [&](Value word) { return k.broadcast(word, lanes); };
  Value seed = k.seed(), k0 = low(seed), k1 = k.shiftRight(seed, 32);
  std::array<Value, 4> c = {low(element), k.shiftRight(element, 32), all(k.widenUnsigned(k.stream(stream), k.i64())), all(k.widenUnsigned(k.step(), k.i64()))};
  for (int round = 0; round < 10; ++round) {
    Value p0 = k.mul(c[0], 0xD2511F53), p1 = k.mul(c[2], 0xCD9E8D57);
    c = {k.bitXor(k.bitXor(k.shiftRight(p1, 32), c[1]), all(k0)), low(p1), k.bitXor(k.bitXor(k.shiftRight(p0, 32), c[3]), all(k1)), low(p0)};
    k0 = low(k.add(k0, 0x9E3779B9));
    k1 = low(k.add(k1, 0xBB67AE85));
  }
  return c;
}

/// An integer below 2^52 as f64, by writing it below the leading bit of 2^52.
Value smallToDouble(KernelBuilder& k, Value word) {
  Value tagged = k.bits(k.bitOr(word, k.integer(word.getType(), 0x4330000000000000)), k.f64());
  return k.sub(tagged, k.real(tagged.getType(), 0x1p52));
}

Value uniform(KernelBuilder& k, Value high, Value low) {
  Value top = smallToDouble(k, high), rest = smallToDouble(k, k.shiftRight(low, 11));
  auto real = [&](double value) { return k.real(top.getType(), value); };
  return k.mul(k.add(k.mul(top, real(0x1p21)), rest), real(0x1p-53)); // 53 bits: exact
}

Value horner(KernelBuilder& k, llvm::ArrayRef<double> terms, Value x) {
  Value sum = k.real(x.getType(), 0);
  for (double term : terms)
    sum = k.add(k.mul(sum, x), k.real(x.getType(), term));
  return sum;
}

Value logOfDraw(KernelBuilder& k, Value x) {
  Value bits = k.bits(x, k.i64());
  auto integer = [&](int64_t value) { return k.integer(bits.getType(), value); };
  auto real = [&](double value) { return k.real(x.getType(), value); };
  Value fraction = k.bitAnd(bits, integer(0xFFFFFFFFFFFFF));
  Value large = k.compare(Predicate::GE, fraction, integer(0x6A09E667F3BCD));
  Value m = k.bits(k.bitOr(fraction, k.choose(large, integer(0x3FE0000000000000), integer(0x3FF0000000000000))), k.f64());
  Value e = k.sub(smallToDouble(k, k.shiftRight(bits, 52)), k.choose(large, real(1022), real(1023)));
  Value s = k.div(k.sub(m, real(1)), k.add(m, real(1)));
  Value sum = horner(k, kLogTerms, k.mul(s, s));
  return k.add(k.mul(e, real(kLn2High)), k.add(k.mul(k.mul(real(2), s), sum), k.mul(e, real(kLn2Low))));
}

Value cosTurns(KernelBuilder& k, Value v) {
  auto real = [&](double value) { return k.real(v.getType(), value); };
  Value w = k.mul(real(4), v);
  Value q = k.toInteger(k.add(w, real(0.5)), k.i32());
  Value x = k.mul(k.sub(w, k.toFloat(q, k.f64())), real(kHalfPi)), t = k.mul(x, x);
  Value cosine = horner(k, kCosTerms, t), sine = k.mul(horner(k, kSinTerms, t), x);
  auto bit = [&](Value number, int64_t mask) {
    return k.compare(Predicate::NE, k.bitAnd(number, k.integer(number.getType(), mask)), k.zero(number.getType()));
  };
  // Quarters 1 and 3 take the sine, 1 and 2 are negative.
  Value result = k.choose(bit(q, 1), sine, cosine);
  return k.choose(bit(k.add(q, 1), 2), k.neg(result), result);
}

} // namespace

Value drawAt(KernelBuilder& k, ir::Distribution distribution, DType dtype, unsigned stream, Value element) {
  std::array<Value, 4> words = philox(k, stream, element);
  if (distribution == ir::Distribution::Normal) {
    Value u = uniform(k, words[0], words[1]), v = uniform(k, words[2], words[3]);
    Value one = k.real(u.getType(), 1);
    Value radius = k.sqrt(k.mul(k.real(u.getType(), -2), logOfDraw(k, k.sub(one, u))));
    return k.roundTo(dtype, k.toFloat(k.mul(radius, cosTurns(k, v)), k.typeOf(dtype)));
  }
  if (dtype == DType::F32) {
    Value top = k.toInteger(k.shiftRight(words[0], 8), k.i32());
    Value number = k.toFloat(top, k.f32());
    return k.mul(number, k.real(number.getType(), 0x1p-24));
  }
  return k.roundTo(dtype, k.toFloat(uniform(k, words[0], words[1]), k.typeOf(dtype)));
}

} // namespace moec::codegen::cpu
