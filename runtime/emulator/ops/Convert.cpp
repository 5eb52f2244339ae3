// cvt and cvta.

#include "runtime/emulator/ops/Lanes.h"
#include "runtime/emulator/ops/SmallFloat.h"

#include <fmt/format.h>
#include <limits>

namespace moec::emulator::MOEC_LANES {
namespace {

__extension__ typedef __int128 Wide;

// --- integer to integer ---
template <class D, class S> D convertInteger(S x) { return D(x); }
template <class D> Handler fromInteger(Type from) {
  switch (from) {
  case Type::U8:
    return each<&convertInteger<D, uint8_t>>;
  case Type::S8:
    return each<&convertInteger<D, int8_t>>;
  case Type::U16:
    return each<&convertInteger<D, uint16_t>>;
  case Type::S16:
    return each<&convertInteger<D, int16_t>>;
  case Type::U32:
    return each<&convertInteger<D, uint32_t>>;
  case Type::S32:
    return each<&convertInteger<D, int32_t>>;
  case Type::U64:
    return each<&convertInteger<D, uint64_t>>;
  case Type::S64:
    return each<&convertInteger<D, int64_t>>;
  default:
    return nullptr;
  }
}
Handler integerToInteger(Type to, Type from) {
  switch (to) {
  case Type::U8:
    return fromInteger<uint8_t>(from);
  case Type::S8:
    return fromInteger<int8_t>(from);
  case Type::U16:
    return fromInteger<uint16_t>(from);
  case Type::S16:
    return fromInteger<int16_t>(from);
  case Type::U32:
    return fromInteger<uint32_t>(from);
  case Type::S32:
    return fromInteger<int32_t>(from);
  case Type::U64:
    return fromInteger<uint64_t>(from);
  case Type::S64:
    return fromInteger<int64_t>(from);
  default:
    return nullptr;
  }
}

Wide lowest(Type type) { return isSigned(type) ? -(Wide(1) << (8 * bytesOf(type) - 1)) : 0; }
Wide highest(Type type) { return (Wide(1) << (8 * bytesOf(type) - (isSigned(type) ? 1 : 0))) - 1; }
Wide readInteger(Warp& warp, uint32_t place, Type type, int lane, bool wideRegister) {
  uint64_t bits = wideRegister ? warp.at<uint64_t>(place)[lane] : warp.at<uint32_t>(place)[lane];
  int unused = 64 - 8 * bytesOf(type);
  return isSigned(type) ? Wide(int64_t(bits << unused) >> unused) : Wide(bits << unused >> unused);
}

/// What the slow paths need to know, packed into Instr::displacement.
struct Conversion {
  Type to = Type::None, from = Type::None;
  Rounding rounding = Rounding::None;
  uint8_t integral = 0; // 0 none; 1 rni 2 rzi 3 rmi 4 rpi
  bool saturate = false, ftz = false, relu = false, finite = false;
  uint8_t registerBytes = 4; // of the destination
  bool away = false;         // rna
  bool wideSource = false;   // its register has 64 bits, whatever its type: the lower ones count
};
static_assert(sizeof(Conversion) <= 16);
// Conversions are kept in Program::lists as four words.
uint32_t addConversion(Decoder& d, const Conversion& c) {
  uint32_t words[4] = {};
  std::memcpy(words, &c, sizeof(c));
  return d.addList({words[0], words[1], words[2], words[3]});
}
Conversion conversionOf(const Warp& warp, const Instr& in) {
  Conversion c;
  std::memcpy(static_cast<void*>(&c), &warp.cta->launch->program->lists[in.list], sizeof(c));
  return c;
}

/// A result narrower than its register is extended by the sign of its type.
void writeInteger(Warp& warp, const Instr& in, const Conversion& c, int lane, Wide value) {
  int unused = 64 - 8 * bytesOf(c.to);
  uint64_t bits = uint64_t(value) << unused;
  bits = isSigned(c.to) ? uint64_t(int64_t(bits) >> unused) : bits >> unused;
  if (c.registerBytes == 8)
    warp.at<uint64_t>(in.dst)[lane] = bits;
  else
    warp.at<uint32_t>(in.dst)[lane] = uint32_t(c.registerBytes == 2 ? bits & 0xffff : bits);
}

void integersSlowly(Warp& warp, const Instr& in) {
  Conversion c = conversionOf(warp, in);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    Wide x = readInteger(warp, in.a, c.from, lane, c.wideSource);
    if (c.saturate)
      x = x < lowest(c.to) ? lowest(c.to) : x > highest(c.to) ? highest(c.to) : x;
    writeInteger(warp, in, c, lane, x);
  }
}

// --- floating point ---
double readFloat(Warp& warp, uint32_t place, Type type, int lane) {
  switch (type) {
  case Type::F64:
    return open<double>(warp.at<uint64_t>(place)[lane]);
  case Type::F32:
    return open<float>(warp.at<uint32_t>(place)[lane]);
  case Type::F16:
    return decodeF16(warp.at<uint32_t>(place)[lane] & 0xffff);
  default:
    return decodeBF16(warp.at<uint32_t>(place)[lane] & 0xffff);
  }
}
/// f32 and f64 obey the host's rounding mode, set by the caller.
void writeFloat(Warp& warp, const Instr& in, const Conversion& c, int lane, double x) {
  if (c.saturate)
    x = saturate(x);
  if (c.to == Type::F64) {
    warp.at<uint64_t>(in.dst)[lane] = close<double>(x);
  } else if (c.to == Type::F32) {
    float single = canonical(float(x));
    warp.at<uint32_t>(in.dst)[lane] = close<float>(c.ftz ? flush(single) : single);
  } else {
    warp.at<uint32_t>(in.dst)[lane] = c.to == Type::F16 ? encodeF16(x, c.rounding) : encodeBF16(x, c.rounding);
  }
}
double toIntegral(double x, uint8_t mode) {
  switch (mode) {
  case 1:
    return std::nearbyint(x);
  case 2:
    return std::trunc(x);
  case 3:
    return std::floor(x);
  case 4:
    return std::ceil(x);
  default:
    return x;
  }
}

void floatToInteger(Warp& warp, const Instr& in) {
  Conversion c = conversionOf(warp, in);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    double x = readFloat(warp, in.a, c.from, lane);
    if (c.ftz && c.from == Type::F32)
      x = flush(float(x));
    Wide made;
    if (x != x)
      made = c.from != Type::F64 && bytesOf(c.to) < 8 ? 0 : Wide(1) << (8 * bytesOf(c.to) - 1);
    else {
      x = toIntegral(x, c.integral);
      made = x <= double(lowest(c.to)) ? lowest(c.to) : x >= double(highest(c.to)) ? highest(c.to) : Wide(x);
    }
    writeInteger(warp, in, c, lane, made);
  }
}
void integerToFloat(Warp& warp, const Instr& in) {
  Conversion c = conversionOf(warp, in);
  enterRounding(c.to == Type::F16 || c.to == Type::BF16 ? Rounding::Nearest : c.rounding);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    Wide x = readInteger(warp, in.a, c.from, lane, c.wideSource);
    if (c.to == Type::F32) { // not through double: that would round twice
      float made = isSigned(c.from) ? float(int64_t(x)) : float(uint64_t(x));
      warp.at<uint32_t>(in.dst)[lane] = close<float>(c.saturate ? saturate(made) : made);
    } else if (c.to == Type::F64) {
      warp.at<uint64_t>(in.dst)[lane] = close<double>(isSigned(c.from) ? double(int64_t(x)) : double(uint64_t(x)));
    } else {
      // Bits that double cannot hold only matter as "not zero": more than 2^53 is beyond f16 and rounds in bf16 by its lead.
      double made = double(int64_t(x >> 11 << 11 | ((x & 2047) != 0 ? 1024 : 0)));
      writeFloat(warp, in, c, lane, (x < (Wide(1) << 53) && x > -(Wide(1) << 53)) ? double(int64_t(x)) : made);
    }
  }
  std::fesetround(FE_TONEAREST);
}
void floatToFloat(Warp& warp, const Instr& in) {
  Conversion c = conversionOf(warp, in);
  enterRounding(c.to == Type::F32 ? c.rounding : Rounding::Nearest);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    double x = readFloat(warp, in.a, c.from, lane);
    if (c.ftz && c.from == Type::F32)
      x = flush(float(x));
    if (c.integral) {
      std::fesetround(FE_TONEAREST);
      x = toIntegral(x, c.integral);
    }
    if (c.relu && !(x > 0))
      x = x != x ? x : 0;
    writeFloat(warp, in, c, lane, x);
  }
  std::fesetround(FE_TONEAREST);
}
uint32_t toTF32(float x, const Conversion& c) {
  if (x != x)
    return 0x7fffffff;
  uint32_t bits = std::bit_cast<uint32_t>(x);
  if (c.relu && bits >> 31)
    return 0;
  if (c.away && (bits & 0x7f800000) != 0x7f800000)
    return (bits + 0x1000) & ~0x1fffu;
  return encodeSmall(x, kTF32, c.rounding) << 13;
}
void toTensorFloat(Warp& warp, const Instr& in) {
  Conversion c = conversionOf(warp, in);
  const uint32_t* a = warp.at<uint32_t>(in.a);
  store<uint32_t>(warp, in.dst, [&](int lane) { return toTF32(open<float>(a[lane]), c); });
}
/// Two floats into a pair of halves: the first goes up.
void packHalves(Warp& warp, const Instr& in) {
  Conversion c = conversionOf(warp, in);
  const uint32_t *a = warp.at<uint32_t>(in.a), *b = warp.at<uint32_t>(in.b);
  bool half = c.to == Type::F16x2;
  auto encode = [&](float x) {
    if (c.relu && x <= 0)
      x = 0;
    uint32_t made = half ? encodeF16(x, c.rounding) : encodeBF16(x, c.rounding);
    uint32_t infinity = half ? 0x7c00 : 0x7f80;
    if (c.finite && (made & 0x7fff) == infinity)
      --made;
    return made;
  };
  store<uint32_t>(warp, in.dst, [&](int lane) { return encode(open<float>(a[lane])) << 16 | encode(open<float>(b[lane])); });
}

template <class D, class S> D convertFloat(S x) { return D(x); }
float narrow(double x) { return canonical(float(x)); }
uint32_t halfToFloat(uint32_t x) { return close<float>(canonical(decodeF16(x & 0xffff))); }
uint32_t bhalfToFloat(uint32_t x) { return close<float>(canonical(decodeBF16(x & 0xffff))); }

/// The conversions kernels are full of.
Handler common(const Conversion& c) {
  if (c.saturate || c.ftz || c.relu)
    return nullptr;
  bool nearest = c.rounding == Rounding::Nearest || c.rounding == Rounding::None;
  if (c.to == Type::F32 && nearest && !c.integral) {
    if (c.from == Type::S32)
      return each<&convertFloat<float, int32_t>>;
    if (c.from == Type::U32)
      return each<&convertFloat<float, uint32_t>>;
    if (c.from == Type::F64)
      return each<&narrow>;
    if (c.from == Type::F16)
      return each<&halfToFloat>;
    if (c.from == Type::BF16)
      return each<&bhalfToFloat>;
  }
  if (c.to == Type::F64 && nearest && !c.integral) {
    if (c.from == Type::S32)
      return each<&convertFloat<double, int32_t>>;
    if (c.from == Type::U32)
      return each<&convertFloat<double, uint32_t>>;
    if (c.from == Type::F32)
      return each<&convertFloat<double, float>>;
  }
  return nullptr;
}

void makeCvt(Decoder& d, Instr& in) {
  Words& words = d.words();
  Conversion c;
  c.ftz = words.take("ftz");
  c.saturate = words.take("sat");
  c.relu = words.take("relu");
  c.finite = words.take("satfinite");
  c.integral = uint8_t(words.takeOneOf({"rni", "rzi", "rmi", "rpi"}) + 1);
  c.away = words.take("rna");
  c.rounding = takeRounding(words);
  c.to = words.takeType();
  c.from = words.takeType();
  d.count(Class::Convert);
  d.carriesPointers();
  in.dst = d.write(0);
  c.wideSource = d.containerBytes(d.operand(1)) == 8 || bytesOf(c.from) == 8;
  bool lowerBits = c.wideSource && bytesOf(c.from) < 8 && !isFloat(c.from);
  in.a = d.read(1, lowerBits ? Type::B64 : c.from);
  c.registerBytes = uint8_t(std::max(d.registerBytes(d.operand(0)), 2));
  if (c.to == Type::F16x2 || c.to == Type::BF16x2) {
    if (c.from != Type::F32 || d.operandCount() != 3)
      d.fail("pairs of halves are made from two .f32");
    in.b = d.read(2, c.from);
    in.run = &packHalves;
  } else if (c.to == Type::TF32) {
    in.run = &toTensorFloat;
  } else if (isFloat(c.to)) {
    if ((bytesOf(c.to) == 8) != (c.registerBytes == 8))
      d.fail("the destination register has another width");
    in.run = lowerBits ? nullptr : common(c);
    if (!in.run)
      in.run = isFloat(c.from) ? &floatToFloat : &integerToFloat;
    if (c.from == Type::TF32 || c.from == Type::F16x2 || c.from == Type::BF16x2)
      in.run = nullptr;
  } else if (isFloat(c.from)) {
    if (!c.integral)
      d.fail("a conversion to an integer names rni, rzi, rmi or rpi");
    in.run = c.from == Type::TF32 ? nullptr : &floatToInteger;
  } else {
    bool exact = c.registerBytes == bytesOf(c.to) || (c.registerBytes == 4 && !isSigned(c.to));
    in.run = !c.saturate && exact && !lowerBits ? integerToInteger(c.to, c.from) : &integersSlowly;
  }
  if (c.finite && in.run != &packHalves)
    in.run = nullptr;
  in.list = addConversion(d, c);
}

void moveWindow(Warp& warp, const Instr& in) {
  const uint64_t* a = warp.at<uint64_t>(in.a);
  store<uint64_t>(warp, in.dst, [&](int lane) { return a[lane] + uint64_t(in.displacement); });
}
void makeCvta(Decoder& d, Instr& in) {
  Words& words = d.words();
  bool to = words.take("to");
  int space = words.takeOneOf({"global", "shared", "local", "const", "shared::cta"});
  if (space < 0)
    d.fail("cvta names global, shared, local or const");
  Type type = words.takeType();
  d.count(Class::Integer);
  d.carriesPointers();
  in.dst = d.write(0);
  in.a = d.read(1, type);
  uint64_t base = space == 1 || space == 4 ? kSharedBase : space == 2 ? kLocalBase : 0;
  in.displacement = int64_t(to ? 0 - base : base);
  in.run = bytesOf(type) == 8 ? &moveWindow : nullptr;
}

constexpr Opcode kRows[] = {
    {"cvt", "{.rni/rzi/rmi/rpi/rn/rz/rm/rp/rna}{.ftz}{.sat}{.relu}.to.from of integers, f16, bf16, f32, f64; .f16x2/bf16x2.f32; .tf32.f32", "9.7.9.21",
     &makeCvt},
    {"cvta", "{.to}.global/shared/local/const.u64", "9.7.9.20", &makeCvta},
};

} // namespace

std::span<const Opcode> convertRows() { return kRows; }

} // namespace moec::emulator::MOEC_LANES
