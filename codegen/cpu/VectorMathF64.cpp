// The functions of VectorMath.h on f64, with FMA or without: what must be exact is a product of short numbers. Letters as in VectorMathF32.cpp: y = |x|,
// exp(x) = 2^n (1 + q). Those that vanish at -inf are relu(x) - T(y) there, too; their factor 2^-n is kept away from the denormals by 2^128.
#include "codegen/cpu/Coefficients.h"
#include "codegen/cpu/VectorMathFormats.h"

namespace moec::codegen::cpu::wide {

namespace {

using ir::Predicate;

constexpr int64_t kFractionBits = 52, kBias = 1023, kDown = 128;
constexpr double kMagic = 0x1.8p52; // adding it rounds to an integer and leaves that in the low bits
constexpr double kOneDown = 0x1p-128;

/// f64s of x's number of lanes, and integers of their width.
struct Format {
  KernelBuilder& k;
  mlir::Type type, bitsType;

  Format(KernelBuilder& k, Value x) : k(k), type(x.getType()), bitsType(k.like(x, k.i64())) {}

  Value real(double value) const { return k.real(type, value); }
  Value integer(int64_t value) const { return k.integer(bitsType, value); }
  Value asBits(Value x) const { return k.bits(x, k.i64()); }
  Value asFloat(Value x) const { return k.bits(x, k.f64()); }

  /// Lowest power first; even and odd powers apart, so that two chains run side by side.
  Value polynomial(llvm::ArrayRef<double> c, Value x) const {
    Value square = k.mul(x, x);
    auto chain = [&](size_t first) {
      size_t last = first + (c.size() - 1 - first) / 2 * 2;
      Value sum = real(c[last]);
      for (size_t i = last; i > first; i -= 2)
        sum = k.fma(sum, square, real(c[i - 2]));
      return sum;
    };
    return k.fma(chain(1), x, chain(0));
  }

  Value atLeast(Value x, double low) const { return k.choose(k.compare(Predicate::LT, x, real(low)), real(low), x); }   // NaN stays
  Value atMost(Value x, double high) const { return k.choose(k.compare(Predicate::GT, x, real(high)), real(high), x); } // NaN stays
  Value positivePart(Value x) const { return k.choose(k.compare(Predicate::GT, x, real(0)), x, real(0)); }              // of NaN 0

  /// x rounded to `bits` of significand.
  Value shortened(Value x, int bits) const {
    int64_t unit = int64_t{1} << (kFractionBits + 1 - bits);
    return asFloat(k.bitAnd(k.add(asBits(x), integer(unit / 2)), integer(-unit)));
  }
};

/// exp(x) as 2^n (1 + q): q is exp(r) - 1 on |r| <= ln 2 / 2, n an integer in the low bits of `exponent`.
struct Reduced {
  Value q, exponent;
};

/// From r and n + kMagic.
Reduced reducedTo(const Format& f, Value shifted, Value r) {
  KernelBuilder& k = f.k;
  return {k.fma(k.mul(r, r), f.polynomial(kExpF64, r), r), k.sub(f.asBits(shifted), f.asBits(f.real(kMagic)))};
}

Reduced reduceExp(const Format& f, Value x) {
  KernelBuilder& k = f.k;
  Value shifted = k.fma(x, f.real(kInverseLn2F64), f.real(kMagic)), n = k.sub(shifted, f.real(kMagic));
  // ln 2 in two parts. The first product must be exact: by FMA, or by a part so short that it is.
  bool fused = k.target().hasFma;
  Value r = k.fma(n, f.real(fused ? -kLn2F64 : -kLn2ShortF64), x);
  return reducedTo(f, shifted, k.fma(n, f.real(fused ? -kLn2RestF64 : -kLn2ShortRestF64), r));
}

/// 2^e for integers e + bias in the range of normal exponents.
Value powerOfTwo(const Format& f, Value biased) { return f.asFloat(f.k.shiftLeft(biased, kFractionBits)); }

/// A number in two parts: an error of an exponent counts as many times as it is large.
struct Pair {
  Value head, rest;
};

/// exp of both. n ln 2 short is exact, and so is what it leaves of the head.
Reduced reduceExp(const Format& f, const Pair& x) {
  KernelBuilder& k = f.k;
  Value shifted = k.fma(k.add(x.head, x.rest), f.real(kInverseLn2F64), f.real(kMagic)), n = k.sub(shifted, f.real(kMagic));
  Value r = k.add(k.fma(n, f.real(-kLn2ShortF64), x.head), k.fma(n, f.real(-kLn2ShortRestF64), x.rest));
  return reducedTo(f, shifted, r);
}

/// -y^2/2 for y in [0, 39].
Pair gaussianExponent(const Format& f, Value y) {
  KernelBuilder& k = f.k;
  Value head = f.shortened(y, 26), rest = k.sub(y, head); // the head's square is exact
  return {k.mul(k.mul(head, head), f.real(-0.5)), k.mul(k.mul(rest, f.real(-0.5)), k.add(y, head))};
}

/// 1 / 2^128 + exp / 2^128, with exp = 2^n (1 + q): in one rounding as long as 1 + 2^n is exact, else near it.
Value onePlus(const Format& f, const Reduced& e) {
  KernelBuilder& k = f.k;
  Value power = powerOfTwo(f, k.add(e.exponent, f.integer(kBias - kDown))), one = f.real(kOneDown);
  Value sum = k.add(power, one), lost = k.sub(one, k.sub(sum, power));
  return k.add(sum, k.fma(e.q, power, lost));
}

/// relu(x) - y / (1 + exp(u)) with exp(u) reduced.
Value minusLogistic(const Format& f, Value x, Value y, const Reduced& e) { return f.k.fma(f.k.div(y, onePlus(f, e)), f.real(-kOneDown), f.positivePart(x)); }

/// What a table says for y from 1 on: c0 by itself and the sum of the other terms.
struct Tail {
  double c0;
  Value others;
};

Tail tailAt(const Format& f, const TailTableF64& table, Value y) {
  KernelBuilder& k = f.k;
  // z = 1 / (y + shift) as a number of 26 bits and what that is off, relatively: near y = 1 an error of t counts five times in the derivative.
  Value sum = f.shortened(k.add(y, f.real(table.shift)), 26), lost = k.sub(y, k.sub(sum, f.real(table.shift)));
  Value z = f.shortened(k.div(f.real(1), sum), 26);
  Value off = k.sub(k.sub(f.real(1), k.mul(z, sum)), k.mul(z, lost));
  z = k.mul(z, f.real(table.slope));
  Value t = k.fma(z, k.fma(off, off, off), k.sub(z, f.real(table.offset)));
  llvm::ArrayRef<double> c = table.c;
  return {c[0], k.mul(t, f.polynomial(c.drop_front(), t))};
}

/// whole + factor (c0 + others) exp(-y^2/2). c0 2^n is added last, so that neither the sum nor q is rounded at its own size.
Value timesTail(const Format& f, Value whole, Value factor, const Tail& tail, const Reduced& e) {
  KernelBuilder& k = f.k;
  Value small = k.fma(e.q, k.add(tail.others, f.real(tail.c0)), tail.others);
  factor = k.mul(factor, powerOfTwo(f, k.add(e.exponent, f.integer(kBias + kDown))));
  return k.fma(factor, f.real(tail.c0 * kOneDown), k.fma(factor, k.mul(small, f.real(kOneDown)), whole));
}

/// (1 + x) / 2 + x P(x^2) for |x| <= 1: near a half the error is that of the last addition.
Value aroundHalf(const Format& f, llvm::ArrayRef<double> c, Value x) {
  KernelBuilder& k = f.k;
  Value half = k.fma(x, f.real(0.5), f.real(0.5));
  return k.fma(x, f.polynomial(c, k.mul(x, x)), half);
}

} // namespace

Value exp(KernelBuilder& k, Value x) {
  Format f(k, x);
  // Beyond these 0 and infinity come out by themselves.
  auto [q, n] = reduceExp(f, f.atMost(f.atLeast(x, -1400), 710));
  // Two powers: 2^n itself may lie outside the normal numbers. The sum is positive, so a logical shift halves it.
  Value sum = k.add(n, f.integer(2 * kBias)), half = k.shiftRight(sum, 1);
  return k.mul(k.mul(k.add(q, f.real(1)), powerOfTwo(f, half)), powerOfTwo(f, k.sub(sum, half)));
}

Value expOfNegative(KernelBuilder& k, Value x) {
  Format f(k, x);
  auto [q, n] = reduceExp(f, f.atLeast(x, -709.2)); // there n is -1023, and 2^n has no bits
  return k.mul(k.add(q, f.real(1)), powerOfTwo(f, k.add(n, f.integer(kBias))));
}

Value expm1(KernelBuilder& k, Value x) {
  Format f(k, x);
  auto [q, n] = reduceExp(f, f.atMost(f.atLeast(x, -50), 710));
  // 2^n q + 2^n - 1 with halves, since 2^n may be too large by one.
  Value half = powerOfTwo(f, k.add(n, f.integer(kBias - 1)));
  Value result = k.fma(q, half, k.sub(half, f.real(0.5)));
  Value tiny = k.compare(Predicate::LT, k.abs(x), f.real(0x1p-55));
  return k.choose(tiny, x, k.add(result, result));
}

Value log(KernelBuilder& k, Value x) {
  Format f(k, x);
  constexpr int64_t fraction = kFractionBits, shift = fraction + 2;
  Value small = k.compare(Predicate::LT, x, f.real(0x1p-1022));
  Value normal = k.choose(small, k.mul(x, f.real(0x1p54)), x);
  // Subtracting the bits of sqrt(1/2) makes the exponent field floor(log2(x sqrt 2)); 1024 more keeps it positive.
  int64_t offset = (kBias + 1) << fraction;
  Value sqrtHalf = f.asBits(f.real(kSqrtHalfF64));
  Value word = f.asBits(normal);
  Value exponent = k.shiftRight(k.add(k.sub(word, sqrtHalf), f.integer(offset)), fraction);
  Value m = f.asFloat(k.sub(word, k.shiftLeft(k.sub(exponent, f.integer(kBias + 1)), fraction)));
  double unit = 0x1p52; // an integer in its low bits is unit + integer
  Value n = k.sub(f.asFloat(k.bitOr(exponent, f.asBits(f.real(unit)))), f.real(unit + kBias + 1));
  n = k.sub(n, k.choose(small, f.real(static_cast<double>(shift)), f.real(0)));

  // log m = g - s (g - z P(z)) with g = m - 1, s = g / (2 + g), z = s^2.
  Value g = k.sub(m, f.real(1)), s = k.div(g, k.add(g, f.real(2))), z = k.mul(s, s);
  Value inner = k.mul(s, k.sub(g, k.mul(z, f.polynomial(kLogF64, z))));
  Value low = k.fma(n, f.real(kLn2ShortRestF64), k.neg(inner));
  Value result = k.add(k.mul(n, f.real(kLn2ShortF64)), k.add(low, g));

  Value odd = k.choose(k.compare(Predicate::EQ, x, f.real(0)), f.real(-kInfinity), f.real(std::numeric_limits<double>::quiet_NaN()));
  result = k.choose(k.compare(Predicate::GT, x, f.real(0)), result, odd); // NaN too
  return k.choose(k.compare(Predicate::EQ, x, f.real(kInfinity)), x, result);
}

Value tanh(KernelBuilder& k, Value x) {
  Format f(k, x);
  Value magnitude = k.abs(x), z = k.mul(x, x);
  Value near = k.fma(k.mul(x, z), f.polynomial(kTanhF64, z), x);
  Value e = exp(k, k.add(magnitude, magnitude));
  Value far = k.sub(f.real(1), k.div(f.real(2), k.add(e, f.real(1))));
  return k.choose(k.compare(Predicate::LT, magnitude, f.real(0.625)), near, k.copySign(far, x));
}

Value sigmoid(KernelBuilder& k, Value x) {
  Format f(k, x);
  return k.div(f.real(kOneDown), onePlus(f, reduceExp(f, f.atMost(f.atLeast(k.neg(x), -40), 746)))); // 1 and 0 beyond
}

Value silu(KernelBuilder& k, Value x) {
  Format f(k, x);
  Value y = f.atMost(k.abs(x), 760); // beyond it is 0 on the left
  return minusLogistic(f, x, y, reduceExp(f, y));
}

Value softplus(KernelBuilder& k, Value x) {
  // exp(-|x|) lies in [0, 1]: log1p without its special cases.
  Format f(k, x);
  Value e = exp(k, k.neg(k.abs(x)));
  Value sum = k.add(e, f.real(1));
  Value lost = k.sub(e, k.sub(sum, f.real(1)));
  return k.add(k.choose(k.compare(Predicate::LT, x, f.real(0)), f.real(0), x), k.add(log(k, sum), k.div(lost, sum)));
}

Value erf(KernelBuilder& k, Value x) {
  // Near 0 x + x P(x^2); from 1 on 1 - erfc, whose error is small against 1.
  Format f(k, x);
  Value y = k.abs(x), z = k.mul(x, x);
  Value near = k.fma(x, k.fma(z, f.polynomial(kErfF64, z), f.real(kTwoOverSqrtPiLessOneF64)), x);
  Value bounded = f.atMost(y, 7), r = k.div(f.real(1), k.add(bounded, f.real(2))); // beyond it is 1
  Value scaled = k.mul(f.polynomial(kErfcF64, k.mul(k.sub(bounded, f.real(2)), r)), r);
  Value far = k.sub(f.real(1), k.mul(scaled, exp(k, k.neg(k.mul(bounded, bounded)))));
  return k.choose(k.compare(Predicate::LT, y, f.real(1)), near, k.copySign(far, x));
}

Value gelu(KernelBuilder& k, Value x) {
  // Near 0 x Phi(x); from 1 on T = y Phi(-y).
  Format f(k, x);
  Value y = f.atMost(k.abs(x), 39); // 0 beyond on the left
  Value near = k.mul(x, aroundHalf(f, kNormalNearF64, x));
  Value far = timesTail(f, f.positivePart(x), f.real(-1), tailAt(f, kNormalTailF64, y), reduceExp(f, gaussianExponent(f, y)));
  return k.choose(k.compare(Predicate::LT, y, f.real(1)), near, far);
}

Value geluGrad(KernelBuilder& k, Value x) {
  // Phi(x) + x phi(x); from 1 on G = Phi(-y) - y phi(y), and 1 - G on the right.
  Format f(k, x);
  Value y = f.atMost(k.abs(x), 39); // 0 beyond on the left
  Value near = aroundHalf(f, kGeluGradNearF64, x), negative = k.compare(Predicate::LT, x, f.real(0));
  Value whole = k.choose(negative, f.real(0), f.real(1)), factor = k.choose(negative, k.neg(y), y);
  Value far = timesTail(f, whole, factor, tailAt(f, kGeluGradTailF64, y), reduceExp(f, gaussianExponent(f, y)));
  return k.choose(k.compare(Predicate::LT, y, f.real(1)), near, far);
}

namespace {

/// u = 2 sqrt(2/pi) (y + 0.044715 y^3) for y in [0, 22]. Of a y of 12 bits the products are exact; the rest is a four thousandth of it.
Pair cubicExponent(const Format& f, Value y) {
  KernelBuilder& k = f.k;
  Value head = f.shortened(y, 12), rest = k.sub(y, head), square = k.mul(head, head), cube = k.mul(square, head);
  Value linear = k.mul(head, f.real(kLinearShortF64)), cubic = k.mul(cube, f.real(kCubicShortF64));
  Value sum = k.add(linear, cubic), ofCubic = k.sub(sum, linear);
  Value lost = k.add(k.sub(linear, k.sub(sum, ofCubic)), k.sub(cubic, ofCubic));
  // u(y) - u(head) = (y - head) (L + C (y^2 + y head + head^2))
  Value slope = k.fma(k.fma(y, k.add(y, head), square), f.real(kCubicF64), f.real(kLinearF64));
  Value constants = k.fma(head, f.real(kLinearShortRestF64), k.mul(cube, f.real(kCubicShortRestF64)));
  return {sum, k.add(lost, k.fma(rest, slope, constants))};
}

} // namespace

Value geluTanh(KernelBuilder& k, Value x) {
  // (1 + tanh(u/2)) / 2 = 1 / (1 + exp(-u)).
  Format f(k, x);
  Value y = f.atMost(k.abs(x), 21.75); // 0 beyond on the left
  return minusLogistic(f, x, y, reduceExp(f, cubicExponent(f, y)));
}

Value geluTanhGrad(KernelBuilder& k, Value x) {
  // At -y, with i = 1 / (1 + exp(u)): i (1 - y u' (1 - i)), and 1 less that on the right.
  Format f(k, x);
  Value y = f.atMost(k.abs(x), 21.75); // 0 beyond on the left
  Value large = k.div(f.real(1), onePlus(f, reduceExp(f, cubicExponent(f, y)))), i = k.mul(large, f.real(kOneDown));
  Value slope = k.mul(y, k.fma(k.mul(y, y), f.real(3 * kCubicF64), f.real(kLinearF64)));
  Value mirrored = k.mul(k.fma(large, k.mul(slope, k.sub(i, f.real(1))), large), f.real(kOneDown));
  return k.choose(k.compare(Predicate::LT, x, f.real(0)), mirrored, k.sub(f.real(1), mirrored));
}

} // namespace moec::codegen::cpu::wide
