// The functions of VectorMath.h on f32, for targets with FMA. Letters: exp(x) = 2^n (1 + q), q = exp(r) - 1 on |r| <= ln 2 / 2; y = |x|.
// Those that vanish at -inf are relu(x) - T(y): T falls like an exponential, so that on the right its error is small against x, and on the left it is the
// result. Its factor 2^-n is kept away from the denormals by 2^32, which the other factor takes back: then the last operation alone rounds.
#include "codegen/cpu/CoefficientsF32.h"
#include "codegen/cpu/VectorMathFormats.h"

namespace moec::codegen::cpu::single {

namespace {

using ir::Predicate;

constexpr double kMagic = 0x1.8p23; // adding it rounds to an integer and leaves that in the low bits
constexpr double kDown = 0x1p-32;

struct Format {
  KernelBuilder& k;
  mlir::Type type, bitsType;

  Format(KernelBuilder& k, Value x) : k(k), type(x.getType()), bitsType(k.like(x, k.i32())) {}

  Value real(double value) const { return k.real(type, value); }
  Value integer(int64_t value) const { return k.integer(bitsType, value); }
  Value asBits(Value x) const { return k.bits(x, k.i32()); }
  Value asFloat(Value x) const { return k.bits(x, k.f32()); }
  Value atLeast(Value x, double low) const { return k.choose(k.compare(Predicate::LT, x, real(low)), real(low), x); }   // NaN stays
  Value atMost(Value x, double high) const { return k.choose(k.compare(Predicate::GT, x, real(high)), real(high), x); } // NaN stays
  Value positivePart(Value x) const { return k.choose(k.compare(Predicate::GT, x, real(0)), x, real(0)); }              // of NaN 0

  /// scale * polynomial, lowest power first; scale is a power of two.
  Value polynomial(llvm::ArrayRef<double> c, Value x, double scale = 1) const {
    Value sum = real(scale * c.back());
    for (double next : llvm::reverse(c.drop_back()))
      sum = k.fma(sum, x, real(scale * next));
    return sum;
  }

  /// The same, where others wait for it: two terms at a time, whose sums are no part of the chain.
  Value inPairs(llvm::ArrayRef<double> c, Value x) const {
    Value square = k.mul(x, x), sum;
    for (size_t i = (c.size() - 1) / 2 * 2;; i -= 2) {
      Value pair = i + 1 < c.size() ? k.fma(real(c[i + 1]), x, real(c[i])) : real(c[i]);
      sum = sum ? k.fma(sum, square, pair) : pair;
      if (i == 0)
        return sum;
    }
  }

  /// 2^(n + offset), with n in the low bits of `shifted`.
  Value powerOfTwo(Value shifted, int64_t offset) const { return asFloat(k.add(k.shiftLeft(asBits(shifted), 23), integer((127 + offset) << 23))); }
};

/// n + kMagic, r, and what expm1(r) has besides r.
struct Reduced {
  Value shifted, r, rest;
};

/// q in one rounding.
Value expm1Of(const Format& f, Value r) { return f.k.fma(f.k.mul(r, r), f.polynomial(kExp, r), r); }

struct Exponential {
  Value shifted, q;
};

Exponential reduce(const Format& f, Value x) {
  KernelBuilder& k = f.k;
  Value shifted = k.fma(x, f.real(kInverseLn2), f.real(kMagic)), n = k.sub(shifted, f.real(kMagic));
  Value r = k.fma(n, f.real(-kLn2Short), x);
  return {shifted, expm1Of(f, k.fma(n, f.real(-kLn2ShortRest), r))};
}

/// exp(-y^2/2) with its exponent exact but for the rounding of r: the square is never rounded by itself.
Reduced reduceGaussian(const Format& f, Value y) {
  KernelBuilder& k = f.k;
  Value shifted = k.fma(k.mul(y, f.real(-0.5 * kInverseLn2)), y, f.real(kMagic)), n = k.sub(shifted, f.real(kMagic));
  Value r = k.fma(k.mul(y, f.real(-0.5)), y, k.mul(n, f.real(-kLn2Short))); // n ln 2 short is exact
  r = k.fma(n, f.real(-kLn2ShortRest), r);
  return {shifted, r, k.mul(k.mul(r, r), f.polynomial(kExp, r))};
}

/// c + s (1 + q) for powers of two c and s: in one rounding as long as c + s is exact, else near it.
Value onePlus(const Format& f, Value q, Value s, double c) {
  KernelBuilder& k = f.k;
  Value sum = k.add(s, f.real(c)), lost = k.sub(f.real(c), k.sub(sum, s));
  return k.add(sum, k.fma(q, s, lost));
}

/// The centre is so far from 0 that what is lost of centre - y where y is small would be half of a unit: the first coefficient takes it back.
Value nearAt(const Format& f, const NearTable& table, Value y) {
  KernelBuilder& k = f.k;
  Value centre = f.real(table.centre), w = k.sub(centre, y), lost = k.sub(k.sub(centre, w), y);
  Value first = k.fma(lost, f.real(table.slope), f.real(table.c[0]));
  Value rest = k.fma(f.inPairs(table.c.drop_front(3), w), w, f.real(table.c[2])); // the large terms one by one: fewer roundings
  return k.fma(k.fma(rest, w, f.real(table.c[1])), w, first);
}

/// A polynomial in t, a point of 1/(y + shift): c0 by itself and the sum of the others.
struct Tail {
  double c0;
  Value others;
};

Tail tailAt(const Format& f, const TailTable& table, Value y, double scale) {
  KernelBuilder& k = f.k;
  Value z = k.div(f.real(1), k.add(y, f.real(table.shift)));
  Value t = k.fma(z, f.real(table.slope), f.real(-table.offset));
  llvm::ArrayRef<double> c = table.c;
  return {scale * c[0], k.mul(t, f.polynomial(c.drop_front(), t, scale))};
}

/// (c0 + others)(1 + q) - c0. Times 2^n it is added behind c0 2^n, so that neither the sum nor q is rounded at its own size.
Value withoutFirst(const Format& f, const Tail& tail, const Reduced& e) {
  KernelBuilder& k = f.k;
  Value whole = k.add(tail.others, f.real(tail.c0));
  return k.fma(e.r, whole, k.fma(e.rest, whole, tail.others));
}

/// relu(x) - y / (1 + exp(u)) with exp(u) = 2^n (1 + q).
Value minusLogistic(const Format& f, Value x, Value y, const Exponential& e) {
  KernelBuilder& k = f.k;
  Value denominator = onePlus(f, e.q, f.powerOfTwo(e.shifted, -32), kDown);
  return k.fma(k.div(y, denominator), f.real(-kDown), f.positivePart(x));
}

} // namespace

Value exp(KernelBuilder& k, Value x) {
  Format f(k, x);
  auto [shifted, q] = reduce(f, f.atMost(f.atLeast(x, -104), 89)); // beyond these 0 and infinity come out by themselves
  // Two powers: 2^n itself may lie outside the normal numbers.
  Value n = k.sub(f.asBits(shifted), f.asBits(f.real(kMagic))), half = k.shiftRightSigned(n, 1);
  auto power = [&](Value exponent) { return f.asFloat(k.add(k.shiftLeft(exponent, 23), f.integer(127 << 23))); };
  Value first = power(half);
  return k.mul(k.fma(q, first, first), power(k.sub(n, half)));
}

Value expOfNegative(KernelBuilder& k, Value x) {
  Format f(k, x);
  auto [shifted, q] = reduce(f, f.atLeast(x, -88)); // there n is -127, and 2^n has no bits
  Value power = f.powerOfTwo(shifted, 0);
  return k.fma(q, power, power);
}

Value expm1(KernelBuilder& k, Value x) {
  Format f(k, x);
  auto [shifted, q] = reduce(f, f.atMost(f.atLeast(x, -30), 89));
  // 2^n q + 2^n - 1 with halves, since 2^n may be too large by one.
  Value half = f.powerOfTwo(shifted, -1), result = k.fma(q, half, k.sub(half, f.real(0.5)));
  return k.choose(k.compare(Predicate::LT, k.abs(x), f.real(0x1p-26)), x, k.add(result, result));
}

Value log(KernelBuilder& k, Value x) {
  Format f(k, x);
  Value small = k.compare(Predicate::LT, x, f.real(0x1p-126));
  Value word = f.asBits(k.choose(small, k.mul(x, f.real(0x1p25)), x));
  // Subtracting the bits of sqrt(1/2) makes the exponent field floor(log2(x sqrt 2)); 128 more keeps it positive.
  Value exponent = k.shiftRight(k.add(k.sub(word, f.asBits(f.real(kSqrtHalf))), f.integer(int64_t{128} << 23)), 23);
  Value m = f.asFloat(k.sub(word, k.shiftLeft(k.sub(exponent, f.integer(128)), 23)));
  Value n = k.sub(f.asFloat(k.bitOr(exponent, f.asBits(f.real(0x1p23)))), f.real(0x1p23 + 128)); // an integer in its low bits is 2^23 + integer
  n = k.sub(n, k.choose(small, f.real(25), f.real(0)));

  // log m = g - s (g - z P(z)) with g = m - 1, s = g / (2 + g), z = s^2.
  Value g = k.sub(m, f.real(1)), s = k.div(g, k.add(g, f.real(2))), z = k.mul(s, s);
  Value inner = k.mul(s, k.sub(g, k.mul(z, f.polynomial(kLog, z))));
  Value low = k.fma(n, f.real(kLn2ShortRest), k.neg(inner));
  Value result = k.add(k.mul(n, f.real(kLn2Short)), k.add(low, g));

  Value odd = k.choose(k.compare(Predicate::EQ, x, f.real(0)), f.real(-kInfinity), f.real(std::numeric_limits<double>::quiet_NaN()));
  result = k.choose(k.compare(Predicate::GT, x, f.real(0)), result, odd); // NaN too
  return k.choose(k.compare(Predicate::EQ, x, f.real(kInfinity)), x, result);
}

Value tanh(KernelBuilder& k, Value x) {
  Format f(k, x);
  Value y = k.abs(x), z = k.mul(x, x);
  Value near = k.fma(k.mul(x, z), f.polynomial(kTanh, z), x);
  Value bounded = f.atMost(y, 10); // beyond it is 1
  auto [shifted, q] = reduce(f, k.add(bounded, bounded));
  Value power = f.powerOfTwo(shifted, 0);
  Value far = k.sub(f.real(1), k.div(f.real(2), k.fma(q, power, k.add(power, f.real(1)))));
  return k.choose(k.compare(Predicate::LT, y, f.real(0.625)), near, k.copySign(far, x));
}

Value sigmoid(KernelBuilder& k, Value x) {
  Format f(k, x);
  auto [shifted, q] = reduce(f, f.atMost(f.atLeast(k.neg(x), -40), 104)); // 1 and 0 beyond
  return k.div(f.real(0x1p-24), onePlus(f, q, f.powerOfTwo(shifted, -24), 0x1p-24));
}

Value silu(KernelBuilder& k, Value x) {
  Format f(k, x);
  Value y = f.atMost(k.abs(x), 109); // beyond it is 0 on the left
  return minusLogistic(f, x, y, reduce(f, y));
}

Value softplus(KernelBuilder& k, Value x) {
  // relu(x) + log(1 + e), e = exp(-y) in [0, 1]: e - s (e - z P(z)) with s = e / (2 + e), z = s^2.
  Format f(k, x);
  auto [shifted, q] = reduce(f, k.neg(f.atMost(k.abs(x), 104)));
  Value power = f.powerOfTwo(shifted, 32), e = k.mul(k.fma(q, power, power), f.real(kDown));
  Value s = k.div(e, k.add(e, f.real(2))), z = k.mul(s, s);
  Value inner = k.fma(k.neg(z), f.polynomial(kLog1p, z), e);
  return k.add(k.fma(k.neg(s), inner, e), f.positivePart(x));
}

Value erf(KernelBuilder& k, Value x) {
  // Near 0 a polynomial; from 1 on 1 - erfc, whose error is small against 1: exp of a polynomial, up to 4.
  Format f(k, x);
  Value y = k.abs(x), z = k.mul(x, x);
  Value inner = k.fma(z, f.polynomial(kErf, z), f.real(kTwoOverSqrtPiRest));
  Value near = k.fma(x, f.real(kTwoOverSqrtPi), k.mul(x, inner));
  auto [shifted, q] = reduce(f, k.neg(f.polynomial(kErfcLog, f.atMost(y, 4))));
  Value power = f.powerOfTwo(shifted, 0), far = k.sub(f.real(1), k.fma(q, power, power));
  return k.choose(k.compare(Predicate::LT, y, f.real(1)), near, k.copySign(far, x));
}

namespace {

/// Whether all lanes of x are below a bound, as one i1. Of more lanes than a vector has, vector by vector: LLVM would pack their masks.
Value areAllBelow(KernelBuilder& k, Value x, double bound) {
  int64_t all = KernelBuilder::lanesOf(x), lanes = std::min(all, k.lanes(DType::F32));
  Value below;
  for (int64_t first = 0; first < all; first += lanes) {
    Value part = k.part(x, first, lanes);
    Value here = k.compare(Predicate::LT, part, k.real(part.getType(), bound));
    below = below ? k.bitAnd(below, here) : here;
  }
  if (lanes == 1)
    return below;
  Value bits = k.word(below);
  return k.compare(Predicate::EQ, bits, k.integer(bits.getType(), -1));
}

} // namespace

namespace {

// Up to kNear a polynomial gives what falls like an exponential, from there exp(-y^2/2) times one in 1/(y + shift). Most vectors are near as a whole, and what
// is far costs twice as much.

/// gelu of x, y = |x|, is relu(x) - T, T = y Phi(-y). Up to kNear Phi(-y) is a polynomial; from there T = exp(-y^2/2) W.
struct Gelu {
  static constexpr const NearTable& kTable = kNormalNear;

  static Value nearAlone(const Format& f, Value x, Value y, Value near) { return f.k.fma(f.k.neg(y), near, f.positivePart(x)); }
  static Value both(const Format& f, Value x, Value y, Value near, Value isNear) {
    KernelBuilder& k = f.k;
    Value bounded = f.atMost(y, 14.6); // 0 beyond on the left
    Reduced e = reduceGaussian(f, bounded);
    Tail tail = tailAt(f, kNormalTail, bounded, kDown);
    Value factor = k.neg(k.choose(isNear, bounded, f.powerOfTwo(e.shifted, 32)));
    Value small = k.choose(isNear, f.real(0), withoutFirst(f, tail, e)), large = k.choose(isNear, near, f.real(tail.c0));
    return k.fma(factor, large, k.fma(factor, small, f.positivePart(x)));
  }
};

/// Its derivative is G = Phi(-y) - y phi(y), and 1 - G on the right. Up to kNear G is a polynomial; from there -y exp(-y^2/2) V.
struct GeluGrad {
  static constexpr const NearTable& kTable = kGeluGradNear;

  static Value nearAlone(const Format& f, Value x, Value, Value near) {
    Value negative = f.k.compare(Predicate::LT, x, f.real(0));
    return f.k.fma(f.k.choose(negative, f.real(1), f.real(-1)), near, f.k.choose(negative, f.real(0), f.real(1)));
  }
  static Value both(const Format& f, Value x, Value y, Value near, Value isNear) {
    KernelBuilder& k = f.k;
    Value bounded = f.atMost(y, 14.7); // 0 beyond on the left
    Reduced e = reduceGaussian(f, bounded);
    Tail tail = tailAt(f, kGeluGradTail, bounded, -kDown);
    Value negative = k.compare(Predicate::LT, x, f.real(0)), whole = k.choose(negative, f.real(0), f.real(1));
    Value factor = k.choose(isNear, f.real(1), k.mul(bounded, f.powerOfTwo(e.shifted, 32)));
    factor = k.choose(negative, factor, k.neg(factor));
    Value small = k.choose(isNear, f.real(0), k.fma(expm1Of(f, e.r), k.add(tail.others, f.real(tail.c0)), tail.others));
    return k.fma(factor, k.choose(isNear, near, f.real(tail.c0)), k.fma(factor, small, whole));
  }
};

/// What some of these functions are of x, behind one branch. Vectors that are one piece share it too: with a branch for each, LLVM moves what they have in
/// common behind it, and constants are read twice.
template <class... Function> Values ofGelu(KernelBuilder& k, Value x) {
  Format f(k, x);
  Value y = k.abs(x), isNear = k.compare(Predicate::LT, y, f.real(kNear));
  Values nears{nearAt(f, Function::kTable, y)...};
  auto alone = [&] {
    size_t i = 0;
    return Values{Function::nearAlone(f, x, y, nears[i++])...};
  };
  auto both = [&] {
    size_t i = 0;
    return Values{Function::both(f, x, y, nears[i++], isNear)...};
  };
  return k.when(areAllBelow(k, y, kNear), alone, both);
}

} // namespace

Value gelu(KernelBuilder& k, Value x) { return ofGelu<Gelu>(k, x)[0]; }
Value geluGrad(KernelBuilder& k, Value x) { return ofGelu<GeluGrad>(k, x)[0]; }
Values geluAndGrad(KernelBuilder& k, Value x) { return ofGelu<Gelu, GeluGrad>(k, x); }

namespace {

/// u = 2 sqrt(2/pi) (y + 0.044715 y^3) as y (head + rest), which has ten digits more than f32: an error of u counts as many times as u is large.
struct Cubic {
  Value square, lost, head, rest; // square + lost is y^2
};

Cubic cubicOf(const Format& f, Value y) {
  KernelBuilder& k = f.k;
  Value square = k.mul(y, y), lost = k.fma(y, y, k.neg(square));
  Value head = k.fma(square, f.real(kCubic), f.real(kLinearShort)), product = k.sub(head, f.real(kLinearShort)); // exact
  Value rest = k.fma(lost, f.real(kCubic), k.fma(square, f.real(kCubicRest), f.real(kLinearRest)));
  return {square, lost, head, k.add(k.fma(square, f.real(kCubic), k.neg(product)), rest)};
}

/// exp(u).
Exponential expOf(const Format& f, const Cubic& c, Value y) {
  KernelBuilder& k = f.k;
  Value shifted = k.fma(k.mul(y, f.real(kInverseLn2)), c.head, f.real(kMagic)), n = k.sub(shifted, f.real(kMagic));
  Value r = k.fma(y, c.head, k.mul(n, f.real(-kLn2Short))); // n ln 2 short is exact
  r = k.fma(y, c.rest, k.fma(n, f.real(-kLn2ShortRest), r));
  return {shifted, expm1Of(f, r)};
}

} // namespace

Value geluTanh(KernelBuilder& k, Value x) {
  // (1 + tanh(u/2)) / 2 = 1 / (1 + exp(-u)).
  Format f(k, x);
  Value y = f.atMost(k.abs(x), 10.9); // 0 beyond on the left
  return minusLogistic(f, x, y, expOf(f, cubicOf(f, y), y));
}

Value geluTanhGrad(KernelBuilder& k, Value x) {
  // At -y, with i = 1 / (1 + exp(u)): i (1 - y u' (1 - i)), and 1 less that on the right.
  Format f(k, x);
  Value y = f.atMost(k.abs(x), 10.9); // 0 beyond on the left
  Cubic c = cubicOf(f, y);
  Exponential e = expOf(f, c, y);
  Value large = k.div(f.real(1), onePlus(f, e.q, f.powerOfTwo(e.shifted, -32), kDown)), i = k.mul(large, f.real(kDown));
  // y u' as `whole` and what that lost.
  Value slope = k.fma(c.square, f.real(kThriceCubic), f.real(kLinearShort)), product = k.sub(slope, f.real(kLinearShort)); // exact
  Value rest = k.add(k.fma(c.square, f.real(kThriceCubic), k.neg(product)), k.fma(c.lost, f.real(kThriceCubic), f.real(kLinearRest)));
  Value whole = k.mul(y, slope), lost = k.fma(y, rest, k.fma(y, slope, k.neg(whole)));
  Value other = k.sub(i, f.real(1)), second = k.fma(whole, other, k.mul(lost, other));
  Value mirrored = k.mul(k.fma(large, second, large), f.real(kDown));
  Value negative = k.compare(Predicate::LT, x, f.real(0));
  return k.choose(negative, mirrored, k.sub(f.real(1), mirrored));
}

} // namespace moec::codegen::cpu::single
