// The functions of VectorMath.h on f64.
#include "codegen/cpu/Coefficients.h"
#include "codegen/cpu/VectorMathFormats.h"

namespace moec::codegen::cpu::wide {

namespace {

using ir::Predicate;

constexpr int64_t kFractionBits = 52, kBias = 1023;

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

  /// x limited to [low, high]; NaN stays.
  Value clamp(Value x, Value low, Value high) const {
    x = k.choose(k.compare(Predicate::LT, x, low), low, x);
    return k.choose(k.compare(Predicate::GT, x, high), high, x);
  }
};

/// exp(x) as 2^n (1 + q): q is exp(r) - 1 on |r| <= ln 2 / 2, n an integer in the low bits of `exponent`.
struct Reduced {
  Value q, exponent;
};

Reduced reduceExp(const Format& f, Value x) {
  KernelBuilder& k = f.k;
  // Adding 1.5 * 2^fraction rounds to an integer and leaves it in the low bits: no conversion, which AVX2 lacks for f64.
  double magic = 0x1.8p52;
  Value shifted = k.fma(x, f.real(kInverseLn2F64), f.real(magic));
  Value n = k.sub(shifted, f.real(magic));
  // ln 2 in two parts. The first product must be exact: by FMA, or by a part so short that it is.
  bool fused = k.target().hasFma;
  Value r = k.fma(n, f.real(fused ? -kLn2F64 : -kLn2ShortF64), x);
  r = k.fma(n, f.real(fused ? -kLn2RestF64 : -kLn2ShortRestF64), r);
  Value q = k.fma(k.mul(r, r), f.polynomial(kExpF64, r), r);
  return {q, k.sub(f.asBits(shifted), f.asBits(f.real(magic)))};
}

/// 2^e for integers e + bias in the range of normal exponents.
Value powerOfTwo(const Format& f, Value biased) { return f.asFloat(f.k.shiftLeft(biased, kFractionBits)); }

/// erfc(y) / exp(-y^2) for y in [0, 28].
Value scaledErfc(const Format& f, Value y) {
  KernelBuilder& k = f.k;
  Value r = k.div(f.real(1), k.add(y, f.real(2)));
  Value t = k.mul(k.sub(y, f.real(2)), r);
  return k.mul(f.polynomial(kErfcF64, t), r);
}

/// exp(x) as three factors. What it is multiplied with goes before the last, so that only the product is rounded to a denormal.
struct Exponential {
  Value mantissa, scale, lastScale;

  Value times(KernelBuilder& k, Value factor) const { return k.mul(k.mul(k.mul(factor, mantissa), scale), lastScale); }
  Value value(KernelBuilder& k) const { return k.mul(k.mul(mantissa, scale), lastScale); }
};

Exponential exponential(const Format& f, Value x) {
  KernelBuilder& k = f.k;
  // Beyond these 0 (of products with factors up to 1e4, too) and infinity come out by themselves.
  x = f.clamp(x, f.real(-1400), f.real(710));
  auto [q, n] = reduceExp(f, x);
  // Two powers: 2^n itself may lie outside the normal numbers. The sum is positive, so a logical shift halves it.
  Value sum = k.add(n, f.integer(2 * kBias));
  Value half = k.shiftRight(sum, 1);
  return {k.add(q, f.real(1)), powerOfTwo(f, half), powerOfTwo(f, k.sub(sum, half))};
}

/// erfc(|x| sqrt(scale)) as `c` times an exponential; scale is 1 or 1/2, x within [-39, 39]. The rounding of the square is put right.
struct Tail {
  Exponential e;
  Value c;
};

Tail erfcTail(const Format& f, Value x, double scale) {
  KernelBuilder& k = f.k;
  Value square = k.mul(x, x), rest = k.fmaOnce(x, x, k.neg(square));
  Value y = k.abs(x);
  if (scale != 1)
    y = k.mul(y, f.real(kSqrtHalfF64));
  Value c = scaledErfc(f, y);
  return {exponential(f, k.mul(square, f.real(-scale))), k.fma(k.mul(rest, f.real(-scale)), c, c)};
}

} // namespace

Value exp(KernelBuilder& k, Value x) { return exponential(Format(k, x), x).value(k); }

Value expm1(KernelBuilder& k, Value x) {
  Format f(k, x);
  auto [q, n] = reduceExp(f, f.clamp(x, f.real(-50), f.real(710)));
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

  double infinity = std::numeric_limits<double>::infinity();
  Value odd = k.choose(k.compare(Predicate::EQ, x, f.real(0)), f.real(-infinity), f.real(std::numeric_limits<double>::quiet_NaN()));
  result = k.choose(k.compare(Predicate::GT, x, f.real(0)), result, odd); // NaN too
  return k.choose(k.compare(Predicate::EQ, x, f.real(infinity)), x, result);
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
  Value e = exp(k, k.neg(k.abs(x)));
  Value numerator = k.choose(k.compare(Predicate::LT, x, f.real(0)), e, f.real(1));
  return k.div(numerator, k.add(e, f.real(1)));
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
  Format f(k, x);
  Value magnitude = k.abs(x), z = k.mul(x, x);
  Value inner = k.fma(z, f.polynomial(kErfF64, z), f.real(kTwoOverSqrtPiRestF64));
  Value near = k.fma(x, f.real(kTwoOverSqrtPiF64), k.mul(x, inner));
  Tail tail = erfcTail(f, f.clamp(magnitude, f.real(0), f.real(28)), 1);
  Value far = k.sub(f.real(1), tail.e.times(k, tail.c));
  return k.choose(k.compare(Predicate::LT, magnitude, f.real(1)), near, k.copySign(far, x));
}

Value gelu(KernelBuilder& k, Value x) {
  // x Phi(x); Phi(-|x|) = erfc(|x| / sqrt 2) / 2, relatively exact in the tail.
  Format f(k, x);
  Value bounded = f.clamp(x, f.real(-39), f.real(39));
  Tail tail = erfcTail(f, bounded, 0.5);
  Value half = k.mul(tail.c, f.real(0.5));
  Value negative = k.compare(Predicate::LT, x, f.real(0));
  Value positive = k.mul(x, k.sub(f.real(1), tail.e.times(k, half)));
  return k.choose(negative, tail.e.times(k, k.mul(bounded, half)), positive);
}

namespace {
/// x sigmoid(y) where y has the sign of x and grows with it: 0 at -inf.
Value timesSigmoid(const Format& f, Value x, Value y) {
  KernelBuilder& k = f.k;
  Exponential e = exponential(f, k.neg(k.abs(y)));
  Value negative = k.compare(Predicate::LT, y, f.real(0)), lowest = f.real(-1e4);
  Value bounded = k.choose(k.compare(Predicate::LT, x, lowest), lowest, x);
  return k.div(k.choose(negative, e.times(k, bounded), x), k.add(e.value(k), f.real(1)));
}
} // namespace

Value geluTanh(KernelBuilder& k, Value x) {
  // (1 + tanh u) / 2 = sigmoid(2u).
  Format f(k, x);
  Value cubic = k.fma(k.mul(k.mul(x, x), f.real(0.044715)), x, x);
  return timesSigmoid(f, x, k.mul(cubic, f.real(2 * kSqrtTwoOverPiF64)));
}

Value silu(KernelBuilder& k, Value x) { return timesSigmoid(Format(k, x), x, x); }

namespace {
/// f(x) from `mirrored`, f(-|x|), where f(x) + f(-x) = 1.
Value fromMirrored(const Format& f, Value x, Value mirrored) {
  return f.k.choose(f.k.compare(Predicate::LT, x, f.real(0)), mirrored, f.k.sub(f.real(1), mirrored));
}
} // namespace

Value geluGrad(KernelBuilder& k, Value x) {
  // Phi(x) + x phi(x); both are multiples of exp(-x^2/2).
  Format f(k, x);
  Value y = f.clamp(k.abs(x), f.real(0), f.real(39));
  Value square = k.mul(y, y), rest = k.fmaOnce(y, y, k.neg(square));
  Value c = scaledErfc(f, k.mul(y, f.real(kSqrtHalfF64)));
  // 1 / sqrt(2 pi) is half of sqrt(2 / pi).
  Value sum = k.mul(f.real(0.5), k.fma(y, f.real(-kSqrtTwoOverPiF64), c));
  sum = k.fma(k.mul(rest, f.real(-0.5)), sum, sum);
  return fromMirrored(f, x, exponential(f, k.mul(square, f.real(-0.5))).times(k, sum));
}

Value geluTanhGrad(KernelBuilder& k, Value x) {
  // At -y: with u = 2 sqrt(2/pi) (y + 0.044715 y^3), e = exp(-u) and d = 1 / (1 + e): e d - y u' e d^2.
  Format f(k, x);
  Value y = f.clamp(k.abs(x), f.real(0), f.real(30)), square = k.mul(y, y); // at 30 it is 0
  Value u = k.mul(k.fma(k.mul(square, f.real(0.044715)), y, y), f.real(2 * kSqrtTwoOverPiF64));
  Value slope = k.mul(k.fma(square, f.real(3 * 0.044715), f.real(1)), f.real(2 * kSqrtTwoOverPiF64));
  Exponential e = exponential(f, k.neg(u));
  Value d = k.div(f.real(1), k.add(e.value(k), f.real(1)));
  Value factor = k.mul(d, k.sub(f.real(1), k.mul(k.mul(y, slope), d)));
  return fromMirrored(f, x, e.times(k, factor));
}

} // namespace moec::codegen::cpu::wide
