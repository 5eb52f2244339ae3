// and or xor not cnot shl shr shf bfe bfi bfind brev popc clz prmt lop3 szext bmsk.

#include "runtime/emulator/ops/Lanes.h"

namespace moec::emulator::MOEC_LANES {
namespace {

template <class T> T andOf(T a, T b) { return a & b; }
template <class T> T orOf(T a, T b) { return a | b; }
template <class T> T xorOf(T a, T b) { return a ^ b; }
template <class T> T notOf(T a) { return T(~a); }
template <class T> T cnotOf(T a) { return a == 0; }
// Shift amounts above the width behave as the width.
template <class T> T shlOf(T a, uint32_t n) { return n >= sizeof(T) * 8 ? T(0) : T(a << n); }
template <class T> T shrOf(T a, uint32_t n) {
  uint32_t most = sizeof(T) * 8 - 1;
  if constexpr (std::is_signed_v<T>)
    return T(a >> (n > most ? most : n));
  else
    return n > most ? T(0) : T(a >> n);
}
uint32_t funnelLeft(uint32_t a, uint32_t b, uint32_t n) { return n == 0 ? b : n >= 32 ? a : b << n | a >> (32 - n); }
uint32_t funnelRight(uint32_t a, uint32_t b, uint32_t n) { return n == 0 ? a : n >= 32 ? b : b << (32 - n) | a >> n; }
uint32_t funnelLeftWrap(uint32_t a, uint32_t b, uint32_t n) { return funnelLeft(a, b, n & 31); }
uint32_t funnelRightWrap(uint32_t a, uint32_t b, uint32_t n) { return funnelRight(a, b, n & 31); }

/// Bits beyond the top read as the sign bit of the field (signed) or zero; the start and length are 8-bit numbers.
template <class T> T extractField(T a, uint32_t start, uint32_t length) {
  constexpr int width = sizeof(T) * 8;
  int pos = start & 255, len = length & 255;
  if (len == 0)
    return 0;
  using U = std::make_unsigned_t<T>;
  int top = pos + len - 1 < width - 1 ? pos + len - 1 : width - 1;
  bool sign = std::is_signed_v<T> && (U(a) >> top & 1);
  U field = pos >= width ? U(0) : U(U(a) >> pos);
  int have = top - pos + 1; // bits of the field that exist
  if (have <= 0)
    return T(sign ? ~U(0) : U(0));
  U keep = have >= width ? ~U(0) : U((U(1) << have) - 1);
  return T(sign ? U(field | U(~keep)) : U(field & keep));
}
template <class T> T findTop(T a, bool shift) {
  using U = std::make_unsigned_t<T>;
  U bits = std::is_signed_v<T> && a < 0 ? U(~U(a)) : U(a);
  if (bits == 0)
    return T(-1);
  int top = int(sizeof(U) * 8) - 1 - std::countl_zero(bits);
  return T(shift ? int(sizeof(U) * 8) - 1 - top : top);
}
template <class T> uint32_t bfindOf(T a) { return uint32_t(findTop<T>(a, false)); }
template <class T> uint32_t bfindShift(T a) { return uint32_t(findTop<T>(a, true)); }
template <class T> T reverseBits(T a) {
  T out = 0;
  for (size_t i = 0; i < sizeof(T) * 8; ++i)
    out |= (a >> i & 1) << (sizeof(T) * 8 - 1 - i);
  return out;
}
template <class T> uint32_t popcOf(T a) { return uint32_t(std::popcount(a)); }
template <class T> uint32_t clzOf(T a) { return uint32_t(std::countl_zero(a)); }

uint32_t permuteBy(uint32_t a, uint32_t b, uint32_t selectors) {
  uint64_t bytes = uint64_t(b) << 32 | a;
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    uint32_t select = selectors >> 4 * i & 15;
    uint32_t byte = uint32_t(bytes >> 8 * (select & 7)) & 255;
    if (select & 8)
      byte = byte & 0x80 ? 255 : 0;
    out |= byte << 8 * i;
  }
  return out;
}
uint32_t permute(uint32_t a, uint32_t b, uint32_t c) { return permuteBy(a, b, c); }
template <int mode> uint32_t permuteMode(uint32_t a, uint32_t b, uint32_t c) {
  constexpr uint32_t table[6][4] = {{0x3210, 0x4321, 0x5432, 0x6543}, {0x5670, 0x6701, 0x7012, 0x0123}, {0x0000, 0x1111, 0x2222, 0x3333},
                                    {0x3210, 0x3211, 0x3222, 0x3333}, {0x0000, 0x1110, 0x2210, 0x3210}, {0x1010, 0x3232, 0x1010, 0x3232}};
  return permuteBy(a, b, table[mode][c & 3]);
}
uint32_t maskClamp(uint32_t a, uint32_t b) {
  if (a >= 32)
    return 0;
  uint32_t ones = b >= 32 ? ~0u : (1u << b) - 1;
  return ones << a;
}
uint32_t maskWrap(uint32_t a, uint32_t b) { return ((1u << (b & 31)) - 1) << (a & 31); }
int32_t extendSigned(int32_t a, uint32_t n) { return n == 0 ? 0 : n >= 32 ? a : int32_t(uint32_t(a) << (32 - n)) >> (32 - n); }
uint32_t extendUnsigned(uint32_t a, uint32_t n) { return n >= 32 ? a : a & ((1u << n) - 1); }
int32_t extendSignedWrap(int32_t a, uint32_t n) { return extendSigned(a, n & 31); }
uint32_t extendUnsignedWrap(uint32_t a, uint32_t n) { return extendUnsigned(a, n & 31); }

void start(Decoder& d, Instr& in, Type type, int n) {
  d.count(Class::Integer);
  in.dst = d.write(0);
  in.a = d.read(1, type);
  if (n > 1)
    in.b = d.read(2, type);
}

enum class Logic { And, Or, Xor, Not };
template <Logic op> void predicateLogic(Warp& warp, const Instr& in) {
  uint32_t a = warp.predicates[in.a] ^ uint32_t(in.displacement), b = warp.predicates[in.b] ^ uint32_t(in.displacement >> 32);
  setPredicate(warp, in.dst, op == Logic::And ? a & b : op == Logic::Or ? a | b : op == Logic::Xor ? a ^ b : ~a);
}
template <Logic op> void makeLogic(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  if (type == Type::Pred) {
    d.count(Class::Predicate);
    uint32_t flipA = 0, flipB = 0;
    in.dst = d.writePredicate(d.operand(0));
    in.a = d.readPredicate(d.operand(1), flipA);
    if (op != Logic::Not)
      in.b = d.readPredicate(d.operand(2), flipB);
    in.displacement = int64_t(uint64_t(flipA) | uint64_t(flipB) << 32);
    in.run = &predicateLogic<op>;
    return;
  }
  d.carriesPointers();
  start(d, in, type, op == Logic::Not ? 1 : 2);
  bool wide = bytesOf(type) == 8;
  if (op == Logic::And)
    in.run = wide ? each<&andOf<uint64_t>> : each<&andOf<uint32_t>>;
  if (op == Logic::Or)
    in.run = wide ? each<&orOf<uint64_t>> : each<&orOf<uint32_t>>;
  if (op == Logic::Xor)
    in.run = wide ? each<&xorOf<uint64_t>> : each<&xorOf<uint32_t>>;
  if (op == Logic::Not)
    in.run = wide ? each<&notOf<uint64_t>> : bytesOf(type) == 2 ? each<&notOf<uint16_t>> : each<&notOf<uint32_t>>;
}
void makeCnot(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  start(d, in, type, 1);
  in.run = bytesOf(type) == 8 ? each<&cnotOf<uint64_t>> : bytesOf(type) == 2 ? each<&cnotOf<uint16_t>> : each<&cnotOf<uint32_t>>;
}
void makeShl(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  start(d, in, type, 1);
  in.b = d.read(2, Type::U32);
  in.run = bytesOf(type) == 8 ? each<&shlOf<uint64_t>> : bytesOf(type) == 2 ? each<&shlOf<uint16_t>> : each<&shlOf<uint32_t>>;
}
void makeShr(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  start(d, in, type, 1);
  in.b = d.read(2, Type::U32);
  int bytes = bytesOf(type);
  if (isSigned(type))
    in.run = bytes == 8 ? each<&shrOf<int64_t>> : bytes == 2 ? each<&shrOf<int16_t>> : each<&shrOf<int32_t>>;
  else
    in.run = bytes == 8 ? each<&shrOf<uint64_t>> : bytes == 2 ? each<&shrOf<uint16_t>> : each<&shrOf<uint32_t>>;
}
void makeShf(Decoder& d, Instr& in) {
  bool left = d.words().takeOneOf({"l", "r"}) == 0, wrap = d.words().takeOneOf({"wrap", "clamp"}) == 0;
  start(d, in, d.words().takeType(), 2);
  in.c = d.read(3, Type::U32);
  in.run = left ? (wrap ? each<&funnelLeftWrap> : each<&funnelLeft>) : (wrap ? each<&funnelRightWrap> : each<&funnelRight>);
}
void makeBfe(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  start(d, in, type, 1);
  in.b = d.read(2, Type::U32);
  in.c = d.read(3, Type::U32);
  in.run = type == Type::U32   ? each<&extractField<uint32_t>>
           : type == Type::S32 ? each<&extractField<int32_t>>
           : type == Type::U64 ? each<&extractField<uint64_t>>
           : type == Type::S64 ? each<&extractField<int64_t>>
                               : nullptr;
}
template <class T> void insertField(Warp& warp, const Instr& in) {
  const T *a = warp.at<T>(in.a), *b = warp.at<T>(in.b);
  const uint32_t *c = warp.at<uint32_t>(in.c), *n = warp.at<uint32_t>(in.d);
  store<T>(warp, in.dst, [&](int lane) {
    uint32_t pos = c[lane] & 255, len = n[lane] & 255, width = sizeof(T) * 8;
    T out = b[lane];
    for (uint32_t i = 0; i < len && pos + i < width; ++i)
      out = T((out & ~(T(1) << (pos + i))) | (a[lane] >> i & 1) << (pos + i));
    return out;
  });
}
void makeBfi(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  start(d, in, type, 2);
  in.c = d.read(3, Type::U32);
  in.d = d.read(4, Type::U32);
  in.run = bytesOf(type) == 8 ? &insertField<uint64_t> : &insertField<uint32_t>;
}
void makeBfind(Decoder& d, Instr& in) {
  bool shift = d.words().take("shiftamt");
  Type type = d.words().takeType();
  start(d, in, type, 1);
  if (shift)
    in.run = type == Type::U32   ? each<&bfindShift<uint32_t>>
             : type == Type::S32 ? each<&bfindShift<int32_t>>
             : type == Type::U64 ? each<&bfindShift<uint64_t>>
                                 : each<&bfindShift<int64_t>>;
  else
    in.run = type == Type::U32   ? each<&bfindOf<uint32_t>>
             : type == Type::S32 ? each<&bfindOf<int32_t>>
             : type == Type::U64 ? each<&bfindOf<uint64_t>>
                                 : each<&bfindOf<int64_t>>;
}
void makeBrev(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  start(d, in, type, 1);
  in.run = bytesOf(type) == 8 ? each<&reverseBits<uint64_t>> : each<&reverseBits<uint32_t>>;
}
void makePopc(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  start(d, in, type, 1);
  in.run = bytesOf(type) == 8 ? each<&popcOf<uint64_t>> : each<&popcOf<uint32_t>>;
}
void makeClz(Decoder& d, Instr& in) {
  Type type = d.words().takeType();
  start(d, in, type, 1);
  in.run = bytesOf(type) == 8 ? each<&clzOf<uint64_t>> : each<&clzOf<uint32_t>>;
}
void makePrmt(Decoder& d, Instr& in) {
  start(d, in, d.words().takeType(), 2);
  in.c = d.read(3, Type::B32);
  constexpr Handler modes[] = {each<&permuteMode<0>>, each<&permuteMode<1>>, each<&permuteMode<2>>,
                               each<&permuteMode<3>>, each<&permuteMode<4>>, each<&permuteMode<5>>};
  int mode = d.words().takeOneOf({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"});
  in.run = mode < 0 ? each<&permute> : modes[mode];
}
void lookUp(Warp& warp, const Instr& in) {
  const uint32_t *a = warp.at<uint32_t>(in.a), *b = warp.at<uint32_t>(in.b), *c = warp.at<uint32_t>(in.c);
  uint32_t table = uint32_t(in.displacement);
  store<uint32_t>(warp, in.dst, [&](int lane) {
    uint32_t out = 0;
    for (int row = 0; row < 8; ++row)
      if (table >> row & 1)
        out |= (row & 4 ? a[lane] : ~a[lane]) & (row & 2 ? b[lane] : ~b[lane]) & (row & 1 ? c[lane] : ~c[lane]);
    return out;
  });
}
void makeLop3(Decoder& d, Instr& in) {
  start(d, in, d.words().takeType(), 2);
  in.c = d.read(3, Type::B32);
  auto table = d.immediate(d.operand(4));
  if (!table)
    d.fail("lop3 takes its table as a constant");
  in.displacement = *table;
  in.run = &lookUp;
}
void makeSzext(Decoder& d, Instr& in) {
  bool wrap = d.words().takeOneOf({"wrap", "clamp"}) == 0;
  Type type = d.words().takeType();
  start(d, in, type, 1);
  in.b = d.read(2, Type::U32);
  if (wrap)
    in.run = isSigned(type) ? each<&extendSignedWrap> : each<&extendUnsignedWrap>;
  else
    in.run = isSigned(type) ? each<&extendSigned> : each<&extendUnsigned>;
}
void makeBmsk(Decoder& d, Instr& in) {
  bool wrap = d.words().takeOneOf({"wrap", "clamp"}) == 0;
  start(d, in, d.words().takeType(), 2);
  in.run = wrap ? each<&maskWrap> : each<&maskClamp>;
}

constexpr Opcode kRows[] = {
    {"and", ".pred/b16/b32/b64", "9.7.8.1", &makeLogic<Logic::And>},
    {"or", ".pred/b16/b32/b64", "9.7.8.2", &makeLogic<Logic::Or>},
    {"xor", ".pred/b16/b32/b64", "9.7.8.3", &makeLogic<Logic::Xor>},
    {"not", ".pred/b16/b32/b64", "9.7.8.4", &makeLogic<Logic::Not>},
    {"cnot", ".b16/b32/b64", "9.7.8.5", &makeCnot},
    {"lop3", ".b32", "9.7.8.6", &makeLop3},
    {"shf", ".l/r.wrap/clamp.b32", "9.7.8.7", &makeShf},
    {"shl", ".b16/b32/b64", "9.7.8.8", &makeShl},
    {"shr", ".b/u/s 16/32/64", "9.7.8.9", &makeShr},
    {"popc", ".b32/b64", "9.7.1.14", &makePopc},
    {"clz", ".b32/b64", "9.7.1.15", &makeClz},
    {"bfind", "{.shiftamt}.u32/s32/u64/s64", "9.7.1.16", &makeBfind},
    {"brev", ".b32/b64", "9.7.1.18", &makeBrev},
    {"bfe", ".u32/s32/u64/s64", "9.7.1.19", &makeBfe},
    {"bfi", ".b32/b64", "9.7.1.20", &makeBfi},
    {"szext", ".wrap/clamp.u32/s32", "9.7.1.21", &makeSzext},
    {"bmsk", ".wrap/clamp.b32", "9.7.1.22", &makeBmsk},
    {"prmt", ".b32{.f4e/b4e/rc8/ecl/ecr/rc16}", "9.7.9.7", &makePrmt},
};

} // namespace

std::span<const Opcode> bitRows() { return kRows; }

} // namespace moec::emulator::MOEC_LANES
