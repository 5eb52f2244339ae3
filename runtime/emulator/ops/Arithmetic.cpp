// add sub mul mad fma div rem abs neg min max sad dp4a dp2a and their carries, for all number types.

#include "runtime/emulator/ops/Lanes.h"
#include "runtime/emulator/ops/SmallFloat.h"

namespace moec::emulator::MOEC_LANES {
namespace {

enum class Op { Add, Sub, Mul, Fma, Div, Min, Max, MinNan, MaxNan, Abs, Neg };

template <class T> T minOf(T a, T b) {
  if (a != a || b != b)
    return a != a ? b : a;
  return a == b ? (std::signbit(a) ? a : b) : a < b ? a : b;
}
template <class T> T maxOf(T a, T b) {
  if (a != a || b != b)
    return a != a ? b : a;
  return a == b ? (std::signbit(a) ? b : a) : a > b ? a : b;
}

template <Op op, class T> T compute(T a, T b, T c) {
  if constexpr (op == Op::Add)
    return a + b;
  if constexpr (op == Op::Sub)
    return a - b;
  if constexpr (op == Op::Mul)
    return a * b;
  if constexpr (op == Op::Fma)
    return std::fma(a, b, c);
  if constexpr (op == Op::Div)
    return a / b;
  if constexpr (op == Op::Min)
    return minOf(a, b);
  if constexpr (op == Op::Max)
    return maxOf(a, b);
  if constexpr (op == Op::MinNan)
    return a != a ? a : b != b ? b : minOf(a, b);
  if constexpr (op == Op::MaxNan)
    return a != a ? a : b != b ? b : maxOf(a, b);
  if constexpr (op == Op::Abs)
    return std::fabs(a);
  if constexpr (op == Op::Neg)
    return -a;
}

template <Op op, class T, bool Ftz, bool Sat> T unary(T a) { return out<Ftz, Sat>(compute<op, T>(in<Ftz>(a), T(0), T(0))); }
template <Op op, class T, bool Ftz, bool Sat> T binary(T a, T b) { return out<Ftz, Sat>(compute<op, T>(in<Ftz>(a), in<Ftz>(b), T(0))); }
template <Op op, class T, bool Ftz, bool Sat> T ternary(T a, T b, T c) { return out<Ftz, Sat>(compute<op, T>(in<Ftz>(a), in<Ftz>(b), in<Ftz>(c))); }

template <Op op, class T, bool Ftz, bool Sat> Handler pick(bool rounded) {
  if constexpr (op == Op::Abs || op == Op::Neg)
    return each<&unary<op, T, Ftz, Sat>>;
  else if constexpr (op == Op::Fma)
    return rounded ? eachRounded<&ternary<op, T, Ftz, Sat>> : each<&ternary<op, T, Ftz, Sat>>;
  else
    return rounded ? eachRounded<&binary<op, T, Ftz, Sat>> : each<&binary<op, T, Ftz, Sat>>;
}
template <Op op, class T> Handler pick(bool ftz, bool sat, bool rounded) {
  if (ftz)
    return sat ? pick<op, T, true, true>(rounded) : pick<op, T, true, false>(rounded);
  return sat ? pick<op, T, false, true>(rounded) : pick<op, T, false, false>(rounded);
}

// Halves: exact in double where the format allows, else rounded to odd, so the one encoding rounds as the hardware does.
template <Op op, class H> uint32_t halfOf(uint32_t ab, uint32_t bb, uint32_t cb) {
  float a = H::decode(ab), b = H::decode(bb), c = H::decode(cb);
  if constexpr (op == Op::Abs)
    return a != a ? kSmallNan : ab & 0x7fff;
  if constexpr (op == Op::Neg)
    return a != a ? kSmallNan : (ab ^ 0x8000) & 0xffff;
  if constexpr (op == Op::Fma)
    return H::encode(fmaOdd(a, b, c));
  return H::encode(compute<op, double>(a, b, c));
}
enum HalfFlag : uint8_t { kFtz = 1, kSat = 2, kRelu = 4 };
template <class H> uint32_t finishHalf(uint32_t bits, uint8_t flags) {
  if (flags & kFtz)
    bits = H::flush(bits);
  if (flags & kSat)
    bits = H::decode(bits) > 0 ? (H::decode(bits) < 1 ? bits : H::one) : 0;
  if ((flags & kRelu) && H::decode(bits) == H::decode(bits) && (bits & 0x8000))
    bits = 0;
  return bits;
}
template <Op op, class H, int Parts> void runHalf(Warp& warp, const Instr& in) {
  const uint32_t *a = warp.at<uint32_t>(in.a), *b = warp.at<uint32_t>(in.b), *c = warp.at<uint32_t>(in.c);
  uint8_t flags = in.variant;
  store<uint32_t>(warp, in.dst, [&](int lane) {
    uint32_t made = 0;
    for (int part = 0; part < Parts; ++part) {
      uint32_t x = a[lane] >> part * 16 & 0xffff, y = b[lane] >> part * 16 & 0xffff, z = c[lane] >> part * 16 & 0xffff;
      if (flags & kFtz) {
        x = H::flush(x);
        y = H::flush(y);
        z = H::flush(z);
      }
      made |= (finishHalf<H>(halfOf<op, H>(x, y, z), flags) & 0xffff) << part * 16;
    }
    return made;
  });
}
template <Op op> Handler pickHalf(Type type) {
  switch (type) {
  case Type::F16:
    return &runHalf<op, F16, 1>;
  case Type::F16x2:
    return &runHalf<op, F16, 2>;
  case Type::BF16:
    return &runHalf<op, BF16, 1>;
  case Type::BF16x2:
    return &runHalf<op, BF16, 2>;
  default:
    return nullptr;
  }
}

Class classOf(Type type) { return type == Type::F32 ? Class::Float32 : type == Type::F64 ? Class::Float64 : isFloat(type) ? Class::Half : Class::Integer; }

/// Suffixes and operands of a floating-point instruction with n sources.
template <Op op> void makeFloat(Decoder& d, Instr& in, Type type, int n, uint32_t flops) {
  Words& words = d.words();
  Rounding rounding = takeRounding(words);
  bool ftz = words.take("ftz"), sat = words.take("sat"), relu = words.take("relu"), nan = words.take("NaN");
  bool packed = type == Type::F16x2 || type == Type::BF16x2;
  d.count(classOf(type), packed ? 2 * flops : flops);
  in.dst = d.write(0);
  in.a = d.read(1, type);
  in.b = n > 1 ? d.read(2, type) : in.a;
  in.c = n > 2 ? d.read(3, type) : in.a;
  bool directed = rounding != Rounding::None && rounding != Rounding::Nearest;
  if (type == Type::F32 || type == Type::F64) {
    in.variant = uint8_t(rounding);
    bool single = type == Type::F32;
    if (relu)
      d.fail("relu is for halves");
    if constexpr (op == Op::Min)
      if (nan) {
        in.run = single ? pick<Op::MinNan, float>(ftz, sat, false) : nullptr;
        return;
      }
    if constexpr (op == Op::Max)
      if (nan) {
        in.run = single ? pick<Op::MaxNan, float>(ftz, sat, false) : nullptr;
        return;
      }
    in.run = single ? pick<op, float>(ftz, sat, directed) : pick<op, double>(false, sat, directed);
    return;
  }
  if (directed)
    d.fail("halves round to nearest only");
  in.variant = uint8_t((ftz ? kFtz : 0) | (sat ? kSat : 0) | (relu ? kRelu : 0));
  in.run = pickHalf<op>(type);
  if constexpr (op == Op::Min)
    if (nan)
      in.run = pickHalf<Op::MinNan>(type);
  if constexpr (op == Op::Max)
    if (nan)
      in.run = pickHalf<Op::MaxNan>(type);
}

// --- integers ---
// Carries wrap in the unsigned type of the width.
template <class T> using Unsigned = std::make_unsigned_t<T>;
template <class T> T addInt(T a, T b) { return T(Unsigned<T>(a) + Unsigned<T>(b)); }
template <class T> T subInt(T a, T b) { return T(Unsigned<T>(a) - Unsigned<T>(b)); }
template <class T> T mulLow(T a, T b) { return T(uint64_t(a) * uint64_t(b)); }
template <class T> T madLow(T a, T b, T c) { return T(uint64_t(a) * uint64_t(b) + uint64_t(c)); }
template <class T> struct Wider;
template <> struct Wider<uint16_t> {
  using Type = uint32_t;
};
template <> struct Wider<int16_t> {
  using Type = int32_t;
};
template <> struct Wider<uint32_t> {
  using Type = uint64_t;
};
template <> struct Wider<int32_t> {
  using Type = int64_t;
};
__extension__ typedef unsigned __int128 Unsigned128;
__extension__ typedef __int128 Signed128;
template <> struct Wider<uint64_t> {
  using Type = Unsigned128;
};
template <> struct Wider<int64_t> {
  using Type = Signed128;
};
template <class T> T mulHigh(T a, T b) { return T((typename Wider<T>::Type(a) * typename Wider<T>::Type(b)) >> (sizeof(T) * 8)); }
template <class T> T madHigh(T a, T b, T c) { return addInt<T>(mulHigh<T>(a, b), c); }
template <class T> typename Wider<T>::Type mulWide(T a, T b) { return typename Wider<T>::Type(a) * typename Wider<T>::Type(b); }
template <class T> typename Wider<T>::Type madWide(T a, T b, typename Wider<T>::Type c) {
  using W = typename Wider<T>::Type;
  return W(Unsigned<W>(W(a) * W(b)) + Unsigned<W>(c));
}
// Division by zero leaves all bits set, as the hardware's routine does; the manual leaves it open.
template <class T> T divInt(T a, T b) {
  if (b == 0)
    return T(~T(0));
  if (std::is_signed_v<T> && b == T(-1))
    return subInt<T>(0, a);
  return T(a / b);
}
template <class T> T remInt(T a, T b) {
  if (b == 0)
    return a;
  if (std::is_signed_v<T> && b == T(-1))
    return 0;
  return T(a % b);
}
template <class T> T minInt(T a, T b) { return a < b ? a : b; }
template <class T> T maxInt(T a, T b) { return a > b ? a : b; }
template <class T> T absInt(T a) { return a < 0 ? subInt<T>(0, a) : a; }
template <class T> T negInt(T a) { return subInt<T>(0, a); }
template <class T> T sadInt(T a, T b, T c) { return addInt<T>(c, a < b ? subInt<T>(b, a) : subInt<T>(a, b)); }
int32_t clampTo32(int64_t x) { return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : int32_t(x); }
int32_t addSat(int32_t a, int32_t b) { return clampTo32(int64_t(a) + b); }
int32_t subSat(int32_t a, int32_t b) { return clampTo32(int64_t(a) - b); }
int32_t madHighSat(int32_t a, int32_t b, int32_t c) { return clampTo32((int64_t(a) * b >> 32) + c); }
template <int32_t (*F)(int32_t, int32_t)> uint32_t twoHalves(uint32_t a, uint32_t b) {
  uint32_t low = uint32_t(F(int16_t(a), int16_t(b))) & 0xffff, high = uint32_t(F(int16_t(a >> 16), int16_t(b >> 16))) & 0xffff;
  return low | high << 16;
}

#define MOEC_BY_INTEGER(TYPE, F) \
  [&]() -> Handler {             \
    switch (TYPE) {              \
    case Type::U16:              \
      return each<&F<uint16_t>>; \
    case Type::S16:              \
      return each<&F<int16_t>>;  \
    case Type::U32:              \
      return each<&F<uint32_t>>; \
    case Type::S32:              \
      return each<&F<int32_t>>;  \
    case Type::U64:              \
      return each<&F<uint64_t>>; \
    case Type::S64:              \
      return each<&F<int64_t>>;  \
    default:                     \
      return nullptr;            \
    }                            \
  }()

void readInteger(Decoder& d, Instr& in, Type type, int n) {
  d.count(Class::Integer);
  in.dst = d.write(0);
  in.a = d.read(1, type);
  if (n > 1)
    in.b = d.read(2, type);
  if (n > 2)
    in.c = d.read(3, type);
}

/// The carry flag of each lane is a register of its own; predicate-like, kept by the decoder under one name.
template <bool Subtract, bool In, bool Out> void addCarry(Warp& warp, const Instr& in) {
  const uint32_t *a = warp.at<uint32_t>(in.a), *b = warp.at<uint32_t>(in.b);
  uint32_t carries = warp.predicates[in.dst2], made = 0;
  uint32_t* to = warp.at<uint32_t>(in.dst);
  for (int lane = 0; lane < kLanes; ++lane) {
    uint64_t carry = In ? carries >> lane & 1 : 0;
    uint64_t sum = Subtract ? uint64_t(a[lane]) - b[lane] - carry : uint64_t(a[lane]) + b[lane] + carry;
    made |= uint32_t(sum >> 32 & 1) << lane;
    if (warp.mask >> lane & 1)
      to[lane] = uint32_t(sum);
  }
  if (Out)
    setPredicate(warp, in.dst2, made);
}
template <bool Subtract, bool In, bool Out> void addCarryWide(Warp& warp, const Instr& in) {
  const uint64_t *a = warp.at<uint64_t>(in.a), *b = warp.at<uint64_t>(in.b);
  uint32_t carries = warp.predicates[in.dst2], made = 0;
  uint64_t* to = warp.at<uint64_t>(in.dst);
  for (int lane = 0; lane < kLanes; ++lane) {
    Unsigned128 carry = In ? carries >> lane & 1 : 0;
    Unsigned128 sum = Subtract ? Unsigned128(a[lane]) - b[lane] - carry : Unsigned128(a[lane]) + b[lane] + carry;
    made |= uint32_t(sum >> 64 & 1) << lane;
    if (warp.mask >> lane & 1)
      to[lane] = uint64_t(sum);
  }
  if (Out)
    setPredicate(warp, in.dst2, made);
}
template <bool Subtract> void makeCarry(Decoder& d, Instr& in, bool takesIn) {
  bool givesOut = d.words().take("cc");
  Type type = d.words().takeType();
  readInteger(d, in, type, 2);
  in.dst2 = d.carryFlag();
  bool wide = bytesOf(type) == 8;
  if (takesIn)
    in.run = givesOut ? (wide ? &addCarryWide<Subtract, true, true> : &addCarry<Subtract, true, true>)
                      : (wide ? &addCarryWide<Subtract, true, false> : &addCarry<Subtract, true, false>);
  else
    in.run = wide ? &addCarryWide<Subtract, false, true> : &addCarry<Subtract, false, true>;
}
void makeAddc(Decoder& d, Instr& in) { makeCarry<false>(d, in, true); }
void makeSubc(Decoder& d, Instr& in) { makeCarry<true>(d, in, true); }

void makeAdd(Decoder& d, Instr& in) {
  if (d.words().has("cc"))
    return makeCarry<false>(d, in, false);
  bool sat = d.words().has("sat");
  Type type = d.words().takeType();
  d.carriesPointers();
  if (isFloat(type))
    return makeFloat<Op::Add>(d, in, type, 2, 1);
  readInteger(d, in, d.words().has("u16x2") || d.words().has("s16x2") ? Type::B32 : type, 2);
  if (d.words().take("u16x2") || d.words().take("s16x2"))
    in.run = each<&twoHalves<addInt<int32_t>>>;
  else if (sat && d.words().take("sat"))
    in.run = type == Type::S32 ? each<&addSat> : nullptr;
  else
    in.run = MOEC_BY_INTEGER(type, addInt);
}
void makeSub(Decoder& d, Instr& in) {
  if (d.words().has("cc"))
    return makeCarry<true>(d, in, false);
  bool sat = d.words().has("sat");
  Type type = d.words().takeType();
  d.carriesPointers();
  if (isFloat(type))
    return makeFloat<Op::Sub>(d, in, type, 2, 1);
  readInteger(d, in, type, 2);
  if (sat && d.words().take("sat"))
    in.run = type == Type::S32 ? each<&subSat> : nullptr;
  else
    in.run = MOEC_BY_INTEGER(type, subInt);
}

enum class Half { Low, High, Wide };
Half takeHalf(Decoder& d) {
  int found = d.words().takeOneOf({"lo", "hi", "wide"});
  if (found < 0)
    d.fail("integer products name lo, hi or wide");
  return Half(found);
}
void makeMul(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  if (isFloat(type))
    return makeFloat<Op::Mul>(d, in, type, 2, 1);
  Half half = takeHalf(d);
  readInteger(d, in, type, 2);
  if (half == Half::Low)
    in.run = MOEC_BY_INTEGER(type, mulLow);
  else if (half == Half::High)
    in.run = MOEC_BY_INTEGER(type, mulHigh);
  else
    in.run = type == Type::U16   ? each<&mulWide<uint16_t>>
             : type == Type::S16 ? each<&mulWide<int16_t>>
             : type == Type::U32 ? each<&mulWide<uint32_t>>
             : type == Type::S32 ? each<&mulWide<int32_t>>
                                 : nullptr;
}
void makeMad(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  if (isFloat(type))
    return makeFloat<Op::Fma>(d, in, type, 3, 2);
  Half half = takeHalf(d);
  bool sat = d.words().take("sat");
  d.carriesPointers();
  readInteger(d, in, type, 2);
  Type third = half != Half::Wide ? type : bytesOf(type) == 2 ? Type::B32 : Type::B64;
  in.c = d.read(3, third);
  if (sat)
    in.run = half == Half::High && type == Type::S32 ? each<&madHighSat> : nullptr;
  else if (half == Half::Low)
    in.run = MOEC_BY_INTEGER(type, madLow);
  else if (half == Half::High)
    in.run = MOEC_BY_INTEGER(type, madHigh);
  else
    in.run = type == Type::U16   ? each<&madWide<uint16_t>>
             : type == Type::S16 ? each<&madWide<int16_t>>
             : type == Type::U32 ? each<&madWide<uint32_t>>
             : type == Type::S32 ? each<&madWide<int32_t>>
                                 : nullptr;
}
int32_t low24(int32_t a) { return int32_t(uint32_t(a) << 8) >> 8; }
uint32_t mul24Low(uint32_t a, uint32_t b) { return (a & 0xffffff) * (b & 0xffffff); }
int32_t mul24LowSigned(int32_t a, int32_t b) { return int32_t(int64_t(low24(a)) * low24(b)); }
uint32_t mul24High(uint32_t a, uint32_t b) { return uint32_t(uint64_t(a & 0xffffff) * (b & 0xffffff) >> 16); }
int32_t mul24HighSigned(int32_t a, int32_t b) { return int32_t(int64_t(low24(a)) * low24(b) >> 16); }
void makeMul24(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  bool high = takeHalf(d) == Half::High;
  readInteger(d, in, type, 2);
  in.run = type == Type::U32 ? (high ? each<&mul24High> : each<&mul24Low>) : (high ? each<&mul24HighSigned> : each<&mul24LowSigned>);
}
void makeFma(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  makeFloat<Op::Fma>(d, in, type, 3, 2);
}
/// a * (1/b): where 1/b is too small for a normal number it counts as zero (9.7.3.8).
template <bool Ftz> float divApprox(float a, float b) {
  if (std::abs(b) > 0x1p126f && !std::isinf(b))
    return out<Ftz, false>(in<Ftz>(a) * std::copysign(0.0f, b));
  return binary<Op::Div, float, Ftz, false>(a, b);
}
void makeDiv(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  if (isFloat(type)) {
    int way = d.words().takeOneOf({"approx", "full"}); // both are allowed an error; none is made
    bool ftz = d.words().has("ftz");
    makeFloat<Op::Div>(d, in, type, 2, 1);
    if (way == 0 && type == Type::F32)
      in.run = ftz ? each<&divApprox<true>> : each<&divApprox<false>>;
    return;
  }
  readInteger(d, in, type, 2);
  in.run = MOEC_BY_INTEGER(type, divInt);
}
void makeRem(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  readInteger(d, in, type, 2);
  in.run = MOEC_BY_INTEGER(type, remInt);
}
void makeMin(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  if (isFloat(type))
    return makeFloat<Op::Min>(d, in, type, 2, 0);
  readInteger(d, in, type, 2);
  in.run = MOEC_BY_INTEGER(type, minInt);
}
void makeMax(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  if (isFloat(type))
    return makeFloat<Op::Max>(d, in, type, 2, 0);
  readInteger(d, in, type, 2);
  in.run = MOEC_BY_INTEGER(type, maxInt);
}
// abs and neg of floats only touch the sign; a NaN stays one of some pattern.
void makeAbs(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  if (isFloat(type))
    return makeFloat<Op::Abs>(d, in, type, 1, 0);
  readInteger(d, in, type, 1);
  in.run = type == Type::S16 ? each<&absInt<int16_t>> : type == Type::S32 ? each<&absInt<int32_t>> : type == Type::S64 ? each<&absInt<int64_t>> : nullptr;
}
void makeNeg(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  if (isFloat(type))
    return makeFloat<Op::Neg>(d, in, type, 1, 0);
  readInteger(d, in, type, 1);
  in.run = type == Type::S16 ? each<&negInt<int16_t>> : type == Type::S32 ? each<&negInt<int32_t>> : type == Type::S64 ? each<&negInt<int64_t>> : nullptr;
}
void makeSad(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  readInteger(d, in, type, 3);
  in.run = MOEC_BY_INTEGER(type, sadInt);
}

template <bool SignedA, bool SignedB> uint32_t dot4(uint32_t a, uint32_t b, uint32_t c) {
  for (int i = 0; i < 4; ++i) {
    int32_t x = SignedA ? int32_t(int8_t(a >> 8 * i)) : int32_t(uint8_t(a >> 8 * i));
    int32_t y = SignedB ? int32_t(int8_t(b >> 8 * i)) : int32_t(uint8_t(b >> 8 * i));
    c += uint32_t(x * y);
  }
  return c;
}
template <bool SignedA, bool SignedB, bool High> uint32_t dot2(uint32_t a, uint32_t b, uint32_t c) {
  for (int i = 0; i < 2; ++i) {
    int j = i + (High ? 2 : 0);
    int32_t x = SignedA ? int32_t(int16_t(a >> 16 * i)) : int32_t(uint16_t(a >> 16 * i));
    int32_t y = SignedB ? int32_t(int8_t(b >> 8 * j)) : int32_t(uint8_t(b >> 8 * j));
    c += uint32_t(x * y);
  }
  return c;
}
void makeDp4a(Decoder& d, Instr& in) {
  bool a = d.words().takeType() == Type::S32, b = d.words().takeType() == Type::S32;
  readInteger(d, in, Type::B32, 3);
  in.run = a ? (b ? each<&dot4<true, true>> : each<&dot4<true, false>>) : (b ? each<&dot4<false, true>> : each<&dot4<false, false>>);
}
void makeDp2a(Decoder& d, Instr& in) {
  bool high = takeHalf(d) == Half::High;
  bool a = d.words().takeType() == Type::S32, b = d.words().takeType() == Type::S32;
  readInteger(d, in, Type::B32, 3);
  if (high)
    in.run = a ? (b ? each<&dot2<true, true, true>> : each<&dot2<true, false, true>>) : (b ? each<&dot2<false, true, true>> : each<&dot2<false, false, true>>);
  else
    in.run =
        a ? (b ? each<&dot2<true, true, false>> : each<&dot2<true, false, false>>) : (b ? each<&dot2<false, true, false>> : each<&dot2<false, false, false>>);
}

constexpr Opcode kRows[] = {
    {"add", "{.sat}.u16/s16/u32/s32/u64/s64; .cc; {.rnd}{.ftz}{.sat}.f32/f64/f16/f16x2/bf16/bf16x2", "9.7.1.1, 9.7.3.3", &makeAdd},
    {"addc", "{.cc}.u32/s32/u64/s64", "9.7.2.2", &makeAddc},
    {"sub", "as add", "9.7.1.2, 9.7.3.4", &makeSub},
    {"subc", "{.cc}.u32/s32/u64/s64", "9.7.2.4", &makeSubc},
    {"mul", ".lo/hi/wide integers; {.rnd}{.ftz}{.sat} floats", "9.7.1.3, 9.7.3.5", &makeMul},
    {"mad", ".lo/hi/wide integers, .hi.sat.s32; {.rnd}{.ftz}{.sat} floats", "9.7.1.4, 9.7.3.7", &makeMad},
    {"mul24", ".lo/hi.u32/s32", "9.7.1.5", &makeMul24},
    {"fma", ".rnd{.ftz}{.sat}{.relu}.f32/f64/f16/f16x2/bf16/bf16x2", "9.7.3.6", &makeFma},
    {"div", "integers; .approx/full/rnd{.ftz}.f32, .rnd.f64", "9.7.1.8, 9.7.3.8", &makeDiv},
    {"rem", "integers", "9.7.1.9", &makeRem},
    {"abs", ".s16/s32/s64; {.ftz} floats", "9.7.1.10, 9.7.3.9", &makeAbs},
    {"neg", ".s16/s32/s64; {.ftz} floats", "9.7.1.11, 9.7.3.10", &makeNeg},
    {"min", "integers; {.ftz}{.NaN} floats", "9.7.1.12, 9.7.3.11", &makeMin},
    {"max", "integers; {.ftz}{.NaN} floats", "9.7.1.13, 9.7.3.12", &makeMax},
    {"sad", "integers", "9.7.1.7", &makeSad},
    {"dp4a", ".u32/s32.u32/s32", "9.7.1.23", &makeDp4a},
    {"dp2a", ".lo/hi.u32/s32.u32/s32", "9.7.1.24", &makeDp2a},
};

} // namespace

std::span<const Opcode> arithmeticRows() { return kRows; }

} // namespace moec::emulator::MOEC_LANES
