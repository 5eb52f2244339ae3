// mov selp slct setp set testp copysign.

#include "runtime/emulator/ops/Lanes.h"
#include "runtime/emulator/ops/SmallFloat.h"

namespace moec::emulator::MOEC_LANES {
namespace {

template <class T> T same(T a) { return a; }

void movePredicate(Warp& warp, const Instr& in) { setPredicate(warp, in.dst, warp.predicates[in.a] ^ uint32_t(in.displacement)); }

/// dst (wide) = parts, lowest first; in.bytes per part.
void packParts(Warp& warp, const Instr& in) {
  const uint32_t* places = &warp.cta->launch->program->lists[in.list];
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    uint64_t made = 0;
    for (int i = 0; i < in.count; ++i) {
      uint64_t part = in.bytes == 8 ? warp.at<uint64_t>(places[i])[lane] : warp.at<uint32_t>(places[i])[lane];
      made |= (in.bytes >= 4 ? part : part & ((1u << 8 * in.bytes) - 1)) << 8 * in.bytes * i;
    }
    if (in.bytes * in.count == 8)
      warp.at<uint64_t>(in.dst)[lane] = made;
    else
      warp.at<uint32_t>(in.dst)[lane] = uint32_t(made);
  }
}
void unpackParts(Warp& warp, const Instr& in) {
  const uint32_t* places = &warp.cta->launch->program->lists[in.list];
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    uint64_t whole = in.bytes * in.count == 8 ? warp.at<uint64_t>(in.a)[lane] : warp.at<uint32_t>(in.a)[lane];
    for (int i = 0; i < in.count; ++i)
      if (places[i] != kNowhere) {
        uint64_t part = whole >> 8 * in.bytes * i;
        warp.at<uint32_t>(places[i])[lane] = uint32_t(in.bytes >= 4 ? part : part & ((1u << 8 * in.bytes) - 1));
      }
  }
}

void makeMov(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  d.count(Class::Move);
  if (type == Type::Pred) {
    uint32_t flip = 0;
    in.dst = d.writePredicate(d.operand(0));
    in.a = d.readPredicate(d.operand(1), flip);
    in.displacement = flip;
    in.run = &movePredicate;
    return;
  }
  if (type == Type::B128)
    d.fail("128-bit registers are not emulated");
  d.carriesPointers();
  bool packs = d.operand(1).kind == Operand::Kind::List, unpacks = d.operand(0).kind == Operand::Kind::List;
  if (packs || unpacks) {
    const std::vector<Operand>& parts = d.operand(packs ? 1 : 0).parts;
    in.count = uint8_t(parts.size());
    in.bytes = uint8_t(size_t(bytesOf(type)) / parts.size());
    std::vector<uint32_t> places;
    for (const Operand& part : parts)
      places.push_back(packs ? d.read(part, in.bytes == 8 ? Type::B64 : Type::B32) : d.write(part));
    in.list = d.addList(places);
    if (packs)
      in.dst = d.write(0);
    else
      in.a = d.read(1, type);
    in.run = packs ? &packParts : &unpackParts;
    return;
  }
  in.dst = d.write(0);
  in.a = d.read(1, type);
  in.run = bytesOf(type) == 8 ? each<&same<uint64_t>> : each<&same<uint32_t>>;
}

template <class T> void selectBy(Warp& warp, const Instr& in) {
  const T *a = warp.at<T>(in.a), *b = warp.at<T>(in.b);
  T* to = warp.at<T>(in.dst);
  uint32_t choose = warp.predicates[in.c] ^ uint32_t(in.displacement), mask = warp.mask;
  MOEC_EACH_LANE {
    T made = (choose >> lane & 1) ? a[lane] : b[lane];
    to[lane] = (mask >> lane & 1) ? made : to[lane];
  }
}
void makeSelp(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  d.count(Class::Predicate);
  d.carriesPointers();
  in.dst = d.write(0);
  in.a = d.read(1, type);
  in.b = d.read(2, type);
  uint32_t flip = 0;
  in.c = d.readPredicate(d.operand(3), flip);
  in.displacement = flip;
  in.run = bytesOf(type) == 8 ? &selectBy<uint64_t> : &selectBy<uint32_t>;
}

template <class T> T bySign(T a, T b, int32_t c) { return c >= 0 ? a : b; }
template <class T> T byFloatSign(T a, T b, float c) { return c >= 0 ? a : b; } // a NaN selects b, -0 selects a
template <class T> T byFloatSignFtz(T a, T b, float c) { return flush(c) >= 0 ? a : b; }
void makeSlct(Decoder& d, Instr& in) {
  bool ftz = d.words().take("ftz");
  Type type = d.words().takeType(), by = d.words().takeType();
  d.count(Class::Predicate);
  in.dst = d.write(0);
  in.a = d.read(1, type);
  in.b = d.read(2, type);
  in.c = d.read(3, by);
  bool wide = bytesOf(type) == 8;
  if (by == Type::S32)
    in.run = wide ? each<&bySign<uint64_t>> : each<&bySign<uint32_t>>;
  else if (ftz)
    in.run = wide ? each<&byFloatSignFtz<uint64_t>> : each<&byFloatSignFtz<uint32_t>>;
  else
    in.run = wide ? each<&byFloatSign<uint64_t>> : each<&byFloatSign<uint32_t>>;
}

enum class Compare { Eq, Ne, Lt, Le, Gt, Ge, Equ, Neu, Ltu, Leu, Gtu, Geu, Num, Nan };
template <Compare op, class T> bool holds(T a, T b) {
  if constexpr (op == Compare::Eq || op == Compare::Equ || op == Compare::Ne || op == Compare::Neu) {
    bool equal = a == b, unordered = a != a || b != b;
    return op == Compare::Eq ? equal : op == Compare::Equ ? equal || unordered : op == Compare::Ne ? !equal && !unordered : !equal;
  }
  if constexpr (op == Compare::Lt)
    return a < b;
  if constexpr (op == Compare::Le)
    return a <= b;
  if constexpr (op == Compare::Gt)
    return a > b;
  if constexpr (op == Compare::Ge)
    return a >= b;
  if constexpr (op == Compare::Ltu)
    return !(a >= b);
  if constexpr (op == Compare::Leu)
    return !(a > b);
  if constexpr (op == Compare::Gtu)
    return !(a <= b);
  if constexpr (op == Compare::Geu)
    return !(a < b);
  if constexpr (op == Compare::Num)
    return a == a && b == b;
  if constexpr (op == Compare::Nan)
    return a != a || b != b;
}

/// The comparison's bits; then combined with a predicate (in.variant: 0 none, 1 and, 2 or, 3 xor) and written to p and to q, its complement's.
void finishCompare(Warp& warp, const Instr& in, uint32_t bits) {
  uint32_t combined = bits, complement = ~bits;
  if (in.variant) {
    uint32_t c = warp.predicates[in.c] ^ uint32_t(in.displacement);
    auto join = [&](uint32_t x) { return in.variant == 1 ? x & c : in.variant == 2 ? x | c : x ^ c; };
    combined = join(bits);
    complement = join(~bits);
  }
  setPredicate(warp, in.dst, combined);
  setPredicate(warp, in.dst2, complement);
}
template <Compare op, class T, bool Ftz> uint32_t compareLanes(Warp& warp, const Instr& in_) {
  const Box<T>*a = warp.at<Box<T>>(in_.a), *b = warp.at<Box<T>>(in_.b);
  uint32_t bits = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    T x = open<T>(a[lane]), y = open<T>(b[lane]);
    if constexpr (Ftz) {
      x = flush(x);
      y = flush(y);
    }
    bits |= holds<op>(x, y) ? 1u << lane : 0u;
  }
  return bits;
}
template <Compare op, class H> uint32_t compareHalves(Warp& warp, const Instr& in_) {
  const uint32_t *a = warp.at<uint32_t>(in_.a), *b = warp.at<uint32_t>(in_.b);
  uint32_t bits = 0;
  for (int lane = 0; lane < kLanes; ++lane)
    bits |= holds<op>(H::decode(a[lane]), H::decode(b[lane])) ? 1u << lane : 0u;
  return bits;
}
template <uint32_t (*F)(Warp&, const Instr&)> void toPredicates(Warp& warp, const Instr& in) { finishCompare(warp, in, F(warp, in)); }
/// set: all ones or 1.0f instead of a predicate. in.count: 0 ones, 1 float.
template <uint32_t (*F)(Warp&, const Instr&)> void toRegister(Warp& warp, const Instr& in) {
  uint32_t bits = F(warp, in);
  if (in.variant) {
    uint32_t c = warp.predicates[in.c] ^ uint32_t(in.displacement);
    bits = in.variant == 1 ? bits & c : in.variant == 2 ? bits | c : bits ^ c;
  }
  uint32_t one = in.count ? 0x3f800000 : ~0u;
  store<uint32_t>(warp, in.dst, [&](int lane) { return (bits >> lane & 1) ? one : 0u; });
}

template <Compare op, bool Set> Handler compareHandler(Type type, bool ftz) {
#define MOEC_COMPARE(F) (Set ? &toRegister<F> : &toPredicates<F>)
  constexpr bool plain = op <= Compare::Ge;
  switch (type) {
  case Type::F32:
    return ftz ? MOEC_COMPARE((compareLanes<op, float, true>)) : MOEC_COMPARE((compareLanes<op, float, false>));
  case Type::F64:
    return MOEC_COMPARE((compareLanes<op, double, false>));
  case Type::F16:
    return MOEC_COMPARE((compareHalves<op, F16>));
  case Type::BF16:
    return MOEC_COMPARE((compareHalves<op, BF16>));
  default:
    break;
  }
  if constexpr (plain)
    switch (type) {
    case Type::B16:
    case Type::U16:
      return MOEC_COMPARE((compareLanes<op, uint16_t, false>));
    case Type::S16:
      return MOEC_COMPARE((compareLanes<op, int16_t, false>));
    case Type::B32:
    case Type::U32:
      return MOEC_COMPARE((compareLanes<op, uint32_t, false>));
    case Type::S32:
      return MOEC_COMPARE((compareLanes<op, int32_t, false>));
    case Type::B64:
    case Type::U64:
      return MOEC_COMPARE((compareLanes<op, uint64_t, false>));
    case Type::S64:
      return MOEC_COMPARE((compareLanes<op, int64_t, false>));
    default:
      break;
    }
#undef MOEC_COMPARE
  return nullptr;
}
template <bool Set> Handler compareHandler(int op, Type type, bool ftz) {
  switch (Compare(op)) {
  case Compare::Eq:
    return compareHandler<Compare::Eq, Set>(type, ftz);
  case Compare::Ne:
    return compareHandler<Compare::Ne, Set>(type, ftz);
  case Compare::Lt:
    return compareHandler<Compare::Lt, Set>(type, ftz);
  case Compare::Le:
    return compareHandler<Compare::Le, Set>(type, ftz);
  case Compare::Gt:
    return compareHandler<Compare::Gt, Set>(type, ftz);
  case Compare::Ge:
    return compareHandler<Compare::Ge, Set>(type, ftz);
  case Compare::Equ:
    return compareHandler<Compare::Equ, Set>(type, ftz);
  case Compare::Neu:
    return compareHandler<Compare::Neu, Set>(type, ftz);
  case Compare::Ltu:
    return compareHandler<Compare::Ltu, Set>(type, ftz);
  case Compare::Leu:
    return compareHandler<Compare::Leu, Set>(type, ftz);
  case Compare::Gtu:
    return compareHandler<Compare::Gtu, Set>(type, ftz);
  case Compare::Geu:
    return compareHandler<Compare::Geu, Set>(type, ftz);
  case Compare::Num:
    return compareHandler<Compare::Num, Set>(type, ftz);
  case Compare::Nan:
    return compareHandler<Compare::Nan, Set>(type, ftz);
  }
  return nullptr;
}
/// lo ls hi hs are the unsigned lt le gt ge.
int takeComparison(Words& words) {
  int op = words.takeOneOf({"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"});
  if (op < 0)
    op = words.takeOneOf({"lo", "ls", "hi", "hs"}) + int(Compare::Lt);
  return op;
}
void readComparison(Decoder& d, Instr& in, Type type) {
  in.variant = uint8_t(d.words().takeOneOf({"and", "or", "xor"}) + 1);
  in.a = d.read(1, type);
  in.b = d.read(2, type);
  if (in.variant) {
    uint32_t flip = 0;
    in.c = d.readPredicate(d.operand(3), flip);
    in.displacement = flip;
  }
}
void makeSetp(Decoder& d, Instr& in) {
  int op = takeComparison(d.words());
  bool ftz = d.words().take("ftz");
  Type type = d.words().takeType();
  d.count(Class::Predicate);
  in.dst = d.writePredicate(d.operand(0));
  if (!d.operand(0).parts.empty())
    in.dst2 = d.writePredicate(d.operand(0).parts[0]);
  readComparison(d, in, type);
  in.run = compareHandler<false>(op, type, ftz);
}
void makeSet(Decoder& d, Instr& in) {
  int op = takeComparison(d.words());
  bool ftz = d.words().take("ftz");
  Type made = d.words().takeType(), type = d.words().takeType();
  d.count(Class::Predicate);
  in.dst = d.write(0);
  in.count = made == Type::F32;
  if (bytesOf(made) != 4 || made == Type::F16x2 || made == Type::BF16x2)
    d.fail("set makes .u32, .s32 or .f32 here");
  readComparison(d, in, type);
  in.run = compareHandler<true>(op, type, ftz);
}

template <class T> void testLanes(Warp& warp, const Instr& in) {
  const Box<T>* a = warp.at<Box<T>>(in.a);
  uint32_t bits = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    int kind = std::fpclassify(open<T>(a[lane]));
    bool found = false;
    switch (in.variant) {
    case 0:
      found = kind != FP_NAN && kind != FP_INFINITE;
      break;
    case 1:
      found = kind == FP_INFINITE;
      break;
    case 2:
      found = kind != FP_NAN;
      break;
    case 3:
      found = kind == FP_NAN;
      break;
    case 4:
      found = kind == FP_NORMAL;
      break;
    case 5:
      found = kind == FP_SUBNORMAL;
      break;
    }
    bits |= uint32_t(found) << lane;
  }
  setPredicate(warp, in.dst, bits);
}
void makeTestp(Decoder& d, Instr& in) {
  int which = d.words().takeOneOf({"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  Type type = d.words().takeType();
  d.count(Class::Predicate);
  in.variant = uint8_t(which);
  in.dst = d.writePredicate(d.operand(0));
  in.a = d.read(1, type);
  in.run = which < 0 ? nullptr : type == Type::F64 ? &testLanes<double> : &testLanes<float>;
}

uint32_t copySign32(uint32_t a, uint32_t b) { return (a & 0x80000000) | (b & 0x7fffffff); }
uint64_t copySign64(uint64_t a, uint64_t b) { return (a & 1ull << 63) | (b & ~(1ull << 63)); }
void makeCopysign(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  d.count(type == Type::F64 ? Class::Float64 : Class::Float32);
  in.dst = d.write(0);
  in.a = d.read(1, type);
  in.b = d.read(2, type);
  in.run = type == Type::F64 ? each<&copySign64> : each<&copySign32>;
}

constexpr Opcode kRows[] = {
    {"mov", ".pred/b16/.../f64, packing and unpacking of b32/b64", "9.7.9.4, 9.7.9.5", &makeMov},
    {"selp", ".b/u/s 16/32/64, .f32/f64", "9.7.6.3", &makeSelp},
    {"slct", "{.ftz}.type.s32/f32", "9.7.6.4", &makeSlct},
    {"setp", ".cmp{.and/or/xor}{.ftz}.type", "9.7.6.2, 9.7.7.2", &makeSetp},
    {"set", ".cmp{.and/or/xor}{.ftz}.u32/s32/f32.type", "9.7.6.1", &makeSet},
    {"testp", ".finite/infinite/number/notanumber/normal/subnormal.f32/f64", "9.7.3.1", &makeTestp},
    {"copysign", ".f32/f64", "9.7.3.2", &makeCopysign},
};

} // namespace

std::span<const Opcode> selectRows() { return kRows; }

} // namespace moec::emulator::MOEC_LANES
