// KernelBuilder: a product and a sum that are rounded once, also on targets without an instruction for it.
#include "codegen/cpu/KernelBuilder.h"

#include <limits>

namespace moec::codegen::cpu {

namespace {

using ir::Predicate;

/// A rounded result and what the rounding took away.
struct Pair {
  Value high, low;
};

Pair exactSum(KernelBuilder& k, Value a, Value b) {
  Value sum = k.add(a, b), ofB = k.sub(sum, a);
  return {sum, k.add(k.sub(a, k.sub(sum, ofB)), k.sub(b, ofB))};
}

/// f64 in two halves of 26 bits, whose products are exact (Dekker 1971). Not for numbers near the largest.
Pair halves(KernelBuilder& k, Value a) {
  Value scaled = k.mul(a, k.real(a.getType(), 0x1p27 + 1));
  Value high = k.sub(scaled, k.sub(scaled, a));
  return {high, k.sub(a, high)};
}

Pair exactProduct(KernelBuilder& k, Value a, Value b) {
  Pair x = halves(k, a), y = halves(k, b);
  Value product = k.mul(a, b);
  Value low = k.sub(k.mul(x.high, y.high), product);
  low = k.add(k.add(low, k.mul(x.high, y.low)), k.mul(x.low, y.high));
  return {product, k.add(low, k.mul(x.low, y.low))};
}

/// a + b in f64, rounded to the neighbour whose last bit is 1 where it is not exact: a second rounding, to fewer bits, then gives what one would.
Value sumToOdd(KernelBuilder& k, Value a, Value b) {
  Pair s = exactSum(k, a, b);
  Value zero = k.zero(a.getType()), word = k.bits(s.high, k.i64());
  Value above = k.compare(Predicate::GT, s.low, zero), below = k.compare(Predicate::LT, s.low, zero); // neither with NaN
  Value outwards = k.bitXor(above, k.compare(Predicate::LT, s.high, zero));
  Value one = k.integer(word.getType(), 1), even = k.compare(Predicate::EQ, k.bitAnd(word, one), k.zero(word.getType()));
  Value moved = k.choose(outwards, k.add(word, one), k.sub(word, one));
  return k.bits(k.choose(k.bitAnd(k.bitOr(above, below), even), moved, word), k.f64());
}

} // namespace

Value KernelBuilder::fmaOnce(Value a, Value b, Value c) {
  if (target_.hasFma)
    return fma(a, b, c);
  if (elementOf(a).isF32()) {
    // The product of two f32 is exact in f64.
    Value product = mul(toFloat(a, f64()), toFloat(b, f64()));
    return toFloat(sumToOdd(*this, product, toFloat(c, f64())), f32());
  }
  // Boldo and Melquiond 2008: the three parts that the exact result has, the two small ones added to odd.
  Pair product = exactProduct(*this, a, b), low = exactSum(*this, c, product.low), high = exactSum(*this, product.high, low.high);
  Value result = add(high.high, sumToOdd(*this, low.low, high.low));
  // Infinities and what overflows on the way.
  Value finite = compare(Predicate::LT, abs(result), real(a.getType(), kInfinity));
  return choose(finite, result, fma(a, b, c));
}

} // namespace moec::codegen::cpu
