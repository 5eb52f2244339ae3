// ld st ldu atom red cp.async prefetch isspacep.

#include "runtime/emulator/ops/Lanes.h"
#include "runtime/emulator/ops/SmallFloat.h"

#include <atomic>
#include <fmt/format.h>

namespace moec::emulator::MOEC_LANES {
namespace {

/// Loads one element of every lane into a register. R: what the register holds, after extension.
template <class T, class R> void loadElement(Warp& warp, const Access& access, uint32_t place, size_t offset, size_t stride) {
  using B = Box<R>;
  B* to = warp.at<B>(place);
  if (sizeof(T) == sizeof(R) && access.shape == Shape::Contiguous && stride == sizeof(T)) {
    std::memcpy(to, access.host(0), sizeof(T) * kLanes);
    return;
  }
  if (access.mask == ~0u && access.shape == Shape::Uniform && access.laneStride == 0) {
    T value;
    std::memcpy(&value, access.host(0) + offset, sizeof(T));
    B extended = B(std::make_unsigned_t<R>(R(value)));
    for (int lane = 0; lane < kLanes; ++lane)
      to[lane] = extended;
    return;
  }
  if (access.mask == ~0u) {
    for (int lane = 0; lane < kLanes; ++lane) {
      T value;
      std::memcpy(&value, access.host(lane) + offset, sizeof(T));
      to[lane] = B(std::make_unsigned_t<R>(R(value)));
    }
    return;
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    T value = 0; // what a rejected access leaves
    if (access.mask >> lane & 1)
      std::memcpy(&value, access.host(lane) + offset, sizeof(T));
    to[lane] = B(std::make_unsigned_t<R>(R(value)));
  }
}
template <class T> void storeElement(Warp& warp, const Access& access, uint32_t place, size_t offset, bool wide, size_t stride = 0) {
  if (access.shape == Shape::Contiguous && stride == sizeof(T) && sizeof(T) == (wide ? 8 : 4)) {
    std::memcpy(access.host(0), warp.at<T>(place), sizeof(T) * kLanes);
    return;
  }
  for (int lane = 0; lane < kLanes; ++lane)
    if (access.mask >> lane & 1) {
      T value = wide ? T(warp.at<uint64_t>(place)[lane]) : T(warp.at<uint32_t>(place)[lane]);
      std::memcpy(access.host(lane) + offset, &value, sizeof(T));
    }
}

// in.variant of loads and stores: bit 0 signed, bit 1 the registers have 8 bytes, bit 2 the registers have 2 bytes.
constexpr uint8_t kSigned = 1, kWide = 2, kNarrow = 4;

template <class U> void loadAs(Warp& warp, const Access& access, uint32_t place, size_t offset, uint8_t variant, size_t stride) {
  using S = std::make_signed_t<U>;
  if (variant & kSigned)
    (variant & kWide)     ? loadElement<S, int64_t>(warp, access, place, offset, stride)
    : (variant & kNarrow) ? loadElement<S, int16_t>(warp, access, place, offset, stride)
                          : loadElement<S, int32_t>(warp, access, place, offset, stride);
  else
    (variant & kWide) ? loadElement<U, uint64_t>(warp, access, place, offset, stride) : loadElement<U, uint32_t>(warp, access, place, offset, stride);
}
void loadOne(Warp& warp, const Access& access, uint32_t place, size_t offset, const Instr& in) {
  size_t stride = size_t(in.bytes) * in.count; // of contiguous lanes
  switch (in.bytes) {
  case 1:
    return loadAs<uint8_t>(warp, access, place, offset, in.variant, stride);
  case 2:
    return loadAs<uint16_t>(warp, access, place, offset, in.variant, stride);
  case 4:
    return loadAs<uint32_t>(warp, access, place, offset, in.variant, stride);
  case 8:
    return loadElement<uint64_t, uint64_t>(warp, access, place, offset, stride);
  }
}
/// The two or four 4-byte elements of every lane, lanes in fours: a transposition.
using Quad = uint32_t __attribute__((vector_size(16)));
void loadPairs(Warp& warp, const Access& access, const uint32_t* places) {
  uint32_t *x = warp.at<uint32_t>(places[0]), *y = warp.at<uint32_t>(places[1]);
  for (int lane = 0; lane < kLanes; lane += 2) {
    uint32_t pair[4];
    std::memcpy(pair, access.host(lane), 8);
    std::memcpy(pair + 2, access.host(lane + 1), 8);
    x[lane] = pair[0], x[lane + 1] = pair[2];
    y[lane] = pair[1], y[lane + 1] = pair[3];
  }
}
void loadQuads(Warp& warp, const Access& access, const uint32_t* places) {
  for (int lane = 0; lane < kLanes; lane += 4) {
    Quad rows[4];
    for (int i = 0; i < 4; ++i)
      std::memcpy(&rows[i], access.host(lane + i), 16);
    Quad low01 = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5), high01 = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
    Quad low23 = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5), high23 = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
    Quad columns[4] = {__builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                       __builtin_shufflevector(high01, high23, 0, 1, 4, 5), __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
    for (int i = 0; i < 4; ++i)
      std::memcpy(warp.at<uint32_t>(places[i]) + lane, &columns[i], 16);
  }
}

void loadVector(Warp& warp, const Access& access, const Instr& in) {
  const uint32_t* places = &warp.cta->launch->program->lists[in.list];
  bool whole = access.mask == ~0u && in.bytes == 4 && !(in.variant & kWide) && std::find(places, places + in.count, kNowhere) == places + in.count;
  if (whole && in.count == 4)
    return loadQuads(warp, access, places);
  if (whole && in.count == 2)
    return loadPairs(warp, access, places);
  for (int i = 0; i < in.count; ++i)
    if (places[i] != kNowhere)
      loadOne(warp, access, places[i], size_t(i) * in.bytes, in);
}
void loadMemory(Warp& warp, const Instr& in) {
  Access access;
  computeAddresses(warp, in, in.a, in.displacement, access);
  resolve(warp, in, access, AccessKind::Read, uint32_t(in.bytes) * in.count);
  if (in.count == 1)
    loadOne(warp, access, in.dst, 0, in);
  else
    loadVector(warp, access, in);
  if (in.ordered && in.space != Space::Shared)
    noteAtomic(warp, access);
}
/// Kernel parameters: no checks beyond the block's size are needed, the text says the offset.
void loadParameter(Warp& warp, const Instr& in) {
  const std::vector<uint8_t>& block = warp.cta->launch->parameters;
  Access access;
  computeAddresses(warp, in, in.a, in.displacement, access);
  access.mask = warp.mask;
  uint64_t apart = 0;
  for (int lane = 0; lane < kLanes; ++lane)
    apart |= access.address[lane] ^ access.address[0];
  access.shape = settled(apart) ? Shape::Scattered : Shape::Uniform;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    if (access.address[lane] > block.size() || access.address[lane] + size_t(in.bytes) * in.count > block.size()) {
      warp.cta->launch->report(warp, Finding::Kind::OutOfBounds, uint32_t(lane), "reads past the kernel's parameters");
      access.mask &= ~(1u << lane);
      continue;
    }
  }
  access.base = const_cast<uint8_t*>(block.data());
  const uint32_t* places = in.count == 1 ? &in.dst : &warp.cta->launch->program->lists[in.list];
  for (int i = 0; i < in.count; ++i)
    if (places[i] != kNowhere)
      loadOne(warp, access, places[i], size_t(i) * in.bytes, in);
}

void storeOne(Warp& warp, const Access& access, uint32_t place, size_t offset, const Instr& in) {
  bool wide = in.variant & kWide;
  size_t stride = size_t(in.bytes) * in.count;
  switch (in.bytes) {
  case 1:
    return storeElement<uint8_t>(warp, access, place, offset, wide);
  case 2:
    return storeElement<uint16_t>(warp, access, place, offset, wide);
  case 4:
    return storeElement<uint32_t>(warp, access, place, offset, wide, stride);
  case 8:
    return storeElement<uint64_t>(warp, access, place, offset, true, stride);
  }
}
const uint32_t* storedPlaces(const Warp& warp, const Instr& in) { return in.count == 1 ? &in.b : &warp.cta->launch->program->lists[in.list]; }
void storedValues(Warp& warp, const Instr& in, uint8_t* values) {
  Access aside;
  aside.mask = warp.mask;
  aside.base = values;
  for (int lane = 0; lane < kLanes; ++lane)
    aside.address[lane] = uint64_t(lane) * 16;
  for (int i = 0; i < in.count; ++i)
    storeOne(warp, aside, storedPlaces(warp, in)[i], size_t(i) * in.bytes, in);
}
void storeMemory(Warp& warp, const Instr& in) {
  Access access;
  computeAddresses(warp, in, in.a, in.displacement, access);
  resolve(warp, in, access, AccessKind::Write, uint32_t(in.bytes) * in.count, &storedValues);
  if (in.ordered && in.space != Space::Shared)
    noteAtomic(warp, access);
  for (int i = 0; i < in.count; ++i)
    storeOne(warp, access, storedPlaces(warp, in)[i], size_t(i) * in.bytes, in);
}

/// State space and hints of ld, st, atom, red.
Space takeSpace(Words& words) {
  int space = words.takeOneOf({"global", "shared", "local", "param", "const", "shared::cta", "param::entry", "param::func"});
  constexpr Space spaces[] = {Space::Global, Space::Shared, Space::Local, Space::Param, Space::Const, Space::Shared, Space::Param, Space::Param};
  return space < 0 ? Space::Generic : spaces[space];
}
bool takeHints(Words& words) {
  bool ordered = words.takeOneOf({"volatile", "relaxed", "acquire", "release", "mmio"}) >= 0;
  words.take("weak");
  words.takeOneOf({"cta", "cluster", "gpu", "sys"});
  words.takeOneOf({"ca", "cg", "cs", "lu", "cv", "wb", "wt"});
  words.take("nc");
  words.skip("L1::");
  words.skip("L2::");
  words.take("unified");
  return ordered;
}
int takeVector(Words& words) {
  int count = words.takeOneOf({"v2", "v4", "v8"});
  return count < 0 ? 1 : 2 << count;
}
uint8_t variantOf(Decoder& d, const Operand& reg, Type type, bool load) {
  int bytes = d.registerBytes(reg);
  uint8_t variant = isSigned(type) ? kSigned : 0;
  if (bytes == 8)
    variant |= kWide;
  if (bytes == 2)
    variant |= kNarrow;
  if (bytes && bytes < bytesOf(type))
    d.fail("the register is narrower than the access");
  (void)load;
  return variant;
}

void makeLd(Decoder& d, Instr& in) {
  Words& words = d.words();
  in.ordered = takeHints(words);
  Space space = takeSpace(words);
  in.count = uint8_t(takeVector(words));
  Type type = words.takeType();
  in.bytes = uint8_t(bytesOf(type));
  if (type == Type::B128)
    d.fail("128-bit registers are not emulated");
  d.count(Class::Load);
  const Operand& to = d.operand(0);
  if ((to.kind == Operand::Kind::List ? int(to.parts.size()) : 1) != in.count)
    d.fail("the list of registers has another length than the vector");
  std::vector<uint32_t> places;
  if (in.count == 1) {
    in.dst = d.write(to);
    in.variant = variantOf(d, to, type, true);
  }
  if (in.count > 1)
    for (const Operand& part : to.parts) {
      places.push_back(d.write(part));
      if (part.kind == Operand::Kind::Register)
        in.variant = variantOf(d, part, type, true);
    }
  if (in.count > 1)
    in.list = d.addList(places);
  d.address(in, d.operand(1), space, true, false, uint32_t(in.bytes) * in.count);
  if (in.space == Space::Param) {
    if (in.bytes == 8 && d.operand(1).parts.size() == 1 && d.operand(1).parts[0].kind == Operand::Kind::Variable)
      d.loadsParameter(uint32_t(in.displacement), uint32_t(in.count));
    in.run = &loadParameter;
  } else {
    in.run = &loadMemory;
  }
}

void makeSt(Decoder& d, Instr& in) {
  Words& words = d.words();
  in.ordered = takeHints(words);
  Space space = takeSpace(words);
  in.count = uint8_t(takeVector(words));
  Type type = words.takeType();
  in.bytes = uint8_t(bytesOf(type));
  if (type == Type::B128 || uint32_t(in.bytes) * in.count > 16)
    d.fail("stores of more than 16 bytes are not emulated");
  d.count(Class::Store);
  d.address(in, d.operand(0), space, false, true, uint32_t(in.bytes) * in.count);
  if (in.space == Space::Param || d.operand(0).kind != Operand::Kind::Address)
    d.fail("kernel parameters cannot be written");
  const Operand& from = d.operand(1);
  if ((from.kind == Operand::Kind::List ? int(from.parts.size()) : 1) != in.count)
    d.fail("the list of registers has another length than the vector");
  auto read = [&](const Operand& part) {
    bool wide = d.containerBytes(part) == 8 || in.bytes == 8;
    in.variant = wide ? kWide : 0;
    return d.read(part, wide ? Type::B64 : in.bytes == 4 ? type : Type::B32);
  };
  if (in.count == 1) {
    in.b = read(from);
  } else {
    std::vector<uint32_t> places;
    bool wide = false, narrow = false;
    for (const Operand& part : from.parts) {
      places.push_back(read(part));
      ((in.variant & kWide) ? wide : narrow) = true;
    }
    if (wide && narrow)
      d.fail("the registers of a vector have different widths");
    in.list = d.addList(places);
  }
  in.run = &storeMemory;
}

// --- atomics ---
enum class Atomic : uint8_t { And, Or, Xor, Cas, Exch, Add, Inc, Dec, Min, Max };
/// One atomic on one place. T: the type by which min, max and add compute.
template <class T> uint64_t combine(Atomic op, uint64_t oldBits, uint64_t bBits, uint64_t cBits) {
  T old = open<T>(Box<T>(oldBits)), b = open<T>(Box<T>(bBits));
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    switch (op) {
    case Atomic::And:
      return oldBits & bBits;
    case Atomic::Or:
      return oldBits | bBits;
    case Atomic::Xor:
      return oldBits ^ bBits;
    case Atomic::Inc:
      return U(old) >= U(b) ? 0 : U(old) + 1;
    case Atomic::Dec:
      return U(old) == 0 || U(old) > U(b) ? U(b) : U(old) - 1;
    case Atomic::Add:
      return U(U(old) + U(b));
    default:
      break;
    }
  } else if (op == Atomic::Add) {
    T sum = canonical(old + b);
    return close<T>(sum);
  }
  switch (op) {
  case Atomic::Cas:
    return oldBits == bBits ? cBits : oldBits;
  case Atomic::Exch:
    return bBits;
  case Atomic::Min:
    return close<T>(old < b ? old : b);
  case Atomic::Max:
    return close<T>(old > b ? old : b);
  default:
    return oldBits;
  }
}
uint64_t combineHalves(Type type, uint64_t oldBits, uint64_t bBits) {
  auto add = [&](uint32_t x, uint32_t y) {
    bool half = type == Type::F16 || type == Type::F16x2;
    return half ? encodeF16(double(decodeF16(x)) + decodeF16(y)) : encodeBF16(double(decodeBF16(x)) + decodeBF16(y));
  };
  uint64_t low = add(uint32_t(oldBits) & 0xffff, uint32_t(bBits) & 0xffff);
  if (bytesOf(type) == 2)
    return low;
  return low | uint64_t(add(uint32_t(oldBits >> 16) & 0xffff, uint32_t(bBits >> 16) & 0xffff)) << 16;
}
/// `flushes`: additions of single precision in global memory know no subnormal numbers (9.7.13.5).
uint64_t combineAs(Type type, Atomic op, uint64_t oldBits, uint64_t b, uint64_t c, bool flushes) {
  if (flushes)
    return close<float>(flush(canonical(flush(open<float>(uint32_t(oldBits))) + flush(open<float>(uint32_t(b))))));
  switch (type) {
  case Type::S32:
    return combine<int32_t>(op, oldBits, b, c);
  case Type::S64:
    return combine<int64_t>(op, oldBits, b, c);
  case Type::F32:
    return combine<float>(op, oldBits, b, c);
  case Type::F64:
    return combine<double>(op, oldBits, b, c);
  case Type::F16:
  case Type::F16x2:
  case Type::BF16:
  case Type::BF16x2:
    return combineHalves(type, oldBits, b);
  case Type::B64:
  case Type::U64:
    return combine<uint64_t>(op, oldBits, b, c);
  default:
    return combine<uint32_t>(op, oldBits, b, c);
  }
}
template <class W> uint64_t atomically(uint8_t* host, Type type, Atomic op, uint64_t b, uint64_t c, bool flushes = false) {
  std::atomic_ref<W> place(*reinterpret_cast<W*>(host));
  W old = place.load();
  while (!place.compare_exchange_weak(old, W(combineAs(type, op, old, b, c, flushes))))
    ;
  return old;
}

// in.variant: the operation; in.count: the type.
void atomicMemory(Warp& warp, const Instr& in) {
  Access access;
  computeAddresses(warp, in, in.a, in.displacement, access);
  Type type = Type(in.count);
  uint32_t flushing = 0;
  if (type == Type::F32 && Atomic(in.variant) == Atomic::Add && in.space != Space::Shared)
    for (int lane = 0; lane < kLanes; ++lane) {
      bool shared = in.space == Space::Generic && access.address[lane] >= kSharedBase && access.address[lane] < kSharedBase + kWindow;
      flushing |= uint32_t(!shared) << lane;
    }
  resolve(warp, in, access, AccessKind::Atomic, in.bytes);
  if (in.space != Space::Shared)
    noteAtomic(warp, access);
  auto value = [&](uint32_t place, int lane) -> uint64_t {
    return place == kNowhere ? 0 : in.bytes == 8 ? warp.at<uint64_t>(place)[lane] : warp.at<uint32_t>(place)[lane];
  };
  for (int lane = 0; lane < kLanes; ++lane) { // in the order of lanes, so that the result is always the same
    if (!(access.mask >> lane & 1))
      continue;
    uint64_t b = value(in.b, lane), c = value(in.c, lane), old;
    if (in.bytes == 8)
      old = atomically<uint64_t>(access.host(lane), type, Atomic(in.variant), b, c);
    else if (in.bytes == 4)
      old = atomically<uint32_t>(access.host(lane), type, Atomic(in.variant), b, c, flushing >> lane & 1);
    else
      old = atomically<uint16_t>(access.host(lane), type, Atomic(in.variant), b, c);
    if (in.dst == kNowhere)
      continue;
    if (in.bytes == 8)
      warp.at<uint64_t>(in.dst)[lane] = old;
    else
      warp.at<uint32_t>(in.dst)[lane] = uint32_t(old);
  }
}
template <bool Returns> void makeAtomic(Decoder& d, Instr& in) {
  Words& words = d.words();
  takeHints(words);
  words.take("acq_rel");
  words.take("noftz");
  Space space = takeSpace(words);
  int op = words.takeOneOf({"and", "or", "xor", "cas", "exch", "add", "inc", "dec", "min", "max"});
  Type type = words.takeType();
  if (op < 0 || type == Type::None || type == Type::B128)
    d.fail("this atomic is not emulated");
  if (isFloat(type) && Atomic(op) != Atomic::Add)
    d.fail("of floating-point atomics only add is emulated");
  in.variant = uint8_t(op);
  in.bytes = uint8_t(bytesOf(type));
  in.count = uint8_t(type);
  d.count(Class::Atomic, isFloat(type) ? 1 : 0);
  size_t at = 0;
  in.dst = Returns ? d.write(at++) : kNowhere;
  d.address(in, d.operand(at++), space, true, true, in.bytes);
  in.b = d.read(at++, type);
  in.c = Atomic(op) == Atomic::Cas ? d.read(at, type) : kNowhere;
  if (in.space != Space::Shared && (isFloat(type) || (Returns && in.dst != kNowhere) || Atomic(op) == Atomic::Exch))
    d.markSerial();
  in.run = &atomicMemory;
}

// --- cp.async ---
/// Checks the reads of the lanes that copy only the first `sizes` bytes of `in.bytes`, under warp.mask: pieces of 8, 4, 2 and 1 bytes, the
/// longest first, so that each is aligned. What stays in the result's mask may be read.
Access resolveParts(Warp& warp, const Instr& in, Access whole, const uint32_t (&sizes)[kLanes]) {
  uint32_t good = warp.mask;
  for (uint32_t rest = good; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    if (whole.address[lane] & (in.bytes - 1)) {
      warp.cta->launch->report(warp, Finding::Kind::Misaligned, lane, fmt::format("address {:#x} of a copy of {} bytes", whole.address[lane], in.bytes));
      good &= ~(1u << lane);
    }
  }
  Worker& worker = *warp.cta->worker;
  auto look = [&](uint32_t lanes, uint32_t bytes) {
    Access piece = whole;
    for (int lane = 0; lane < kLanes; ++lane)
      piece.address[lane] += sizes[lane] & ~(2 * bytes - 1);
    if (!(warp.mask = lanes & good))
      return;
    resolve(warp, in, piece, AccessKind::Read, bytes);
    good &= ~(warp.mask & ~piece.mask);
    whole.base = piece.base;
  };
  for (uint32_t bytes = in.bytes / 2; bytes; bytes /= 2) {
    uint32_t first = 0, further = 0;
    for (int lane = 0; lane < kLanes; ++lane)
      ((sizes[lane] & ~(2 * bytes - 1)) ? further : first) |= uint32_t((sizes[lane] & bytes) != 0) << lane;
    look(first, bytes);
    uint64_t sectors = worker.sectors[warp.pc], ideal = worker.ideal[warp.pc];
    look(further, bytes);
    worker.sectors[warp.pc] = sectors; // a further piece lies in the sector of its lane's first
    worker.ideal[warp.pc] = ideal;
  }
  whole.mask = good;
  return whole;
}

// in.a: shared destination; in.b: global source, its displacement in in.list, its bounds in in.dst; in.c: bytes to copy (the rest of
// in.bytes is zero) or kNowhere.
void copyAsync(Warp& warp, const Instr& in) {
  uint32_t all = warp.mask, reading = 0, partly = 0, sizes[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    sizes[lane] = in.c == kNowhere ? in.bytes : warp.at<uint32_t>(in.c)[lane];
    if (sizes[lane] > in.bytes) { // undefined: taken as all of them
      if (all >> lane & 1)
        warp.cta->launch->report(warp, Finding::Kind::OutOfBounds, uint32_t(lane), fmt::format("src-size is {}, the copy has {} bytes", sizes[lane], in.bytes));
      sizes[lane] = in.bytes;
    }
    reading |= uint32_t(sizes[lane] == in.bytes) << lane;
    partly |= uint32_t(sizes[lane] && sizes[lane] != in.bytes) << lane;
  }
  Access from, to, part;
  Instr source = in;
  source.space = Space::Global;
  source.bounds = in.dst;
  source.wideAddress = true;
  const std::vector<uint32_t>& lists = warp.cta->launch->program->lists;
  computeAddresses(warp, source, in.b, int64_t(lists[in.list] | uint64_t(lists[in.list + 1]) << 32), from);
  if ((warp.mask = all & partly))
    part = resolveParts(warp, source, from, sizes);
  if ((warp.mask = all & reading))
    resolve(warp, source, from, AccessKind::Read, in.bytes);
  warp.mask = all;
  computeAddresses(warp, in, in.a, in.displacement, to);
  resolve(warp, in, to, AccessKind::Write, in.bytes);
  for (int lane = 0; lane < kLanes; ++lane)
    if (to.mask >> lane & 1) {
      bool whole = from.mask >> lane & 1, some = part.mask >> lane & 1;
      queueCopy(warp, uint32_t(lane), uint32_t(to.address[lane]),
                whole  ? from.host(lane)
                : some ? part.host(lane)
                       : nullptr,
                whole || some ? sizes[lane] : 0, in.bytes);
    }
}
void commitGroup(Warp& warp, const Instr&) { commitCopies(warp); }
void waitGroup(Warp& warp, const Instr& in) { waitCopies(warp, uint32_t(in.displacement), in.variant); }
void makeCp(Decoder& d, Instr& in) {
  Words& words = d.words();
  d.count(Class::AsyncCopy);
  if (!words.take("async"))
    d.fail("of cp only cp.async is emulated");
  if (words.take("commit_group")) {
    in.run = &commitGroup;
  } else if (words.take("wait_all")) {
    in.variant = 1;
    in.run = &waitGroup;
  } else if (words.take("wait_group")) {
    auto newest = d.immediate(d.operand(0));
    if (!newest)
      d.fail("cp.async.wait_group takes a constant");
    in.displacement = *newest;
    in.run = &waitGroup;
  } else {
    words.takeOneOf({"ca", "cg"});
    words.skip("L2::");
    if (!(words.take("shared") || words.take("shared::cta")) || !words.take("global"))
      d.fail("cp.async copies from global to shared memory");
    auto bytes = d.immediate(d.operand(2));
    if (!bytes || (*bytes != 4 && *bytes != 8 && *bytes != 16))
      d.fail("cp.async copies 4, 8 or 16 bytes");
    in.bytes = uint8_t(*bytes);
    Instr source;
    d.address(source, d.operand(1), Space::Global, true, false, in.bytes);
    d.address(in, d.operand(0), Space::Shared, false, true, in.bytes);
    if (!source.wideAddress)
      d.fail("global addresses have 64 bits");
    in.b = source.a;
    in.dst = source.bounds;
    in.list = d.addList({uint32_t(source.displacement), uint32_t(uint64_t(source.displacement) >> 32)});
    if (d.operandCount() > 3 && d.isPredicate(d.operand(3)))
      d.fail("cp.async with an ignore-src predicate is not emulated");
    in.c = d.operandCount() > 3 ? d.read(3, Type::U32) : kNowhere;
    in.run = &copyAsync;
  }
}

void nothing(Warp&, const Instr&) {}
void makePrefetch(Decoder& d, Instr& in) {
  Words& words = d.words();
  takeSpace(words);
  words.takeOneOf({"L1", "L2"});
  words.skip("L2::");
  in.run = &nothing;
}
void insideWindow(Warp& warp, const Instr& in) {
  const uint64_t* a = warp.at<uint64_t>(in.a);
  uint32_t bits = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    bool shared = a[lane] >= kSharedBase && a[lane] < kSharedBase + kWindow, local = a[lane] >= kLocalBase && a[lane] < kLocalBase + kWindow;
    bool found = in.variant == 1 ? shared : in.variant == 2 ? local : !shared && !local;
    bits |= uint32_t(found) << lane;
  }
  setPredicate(warp, in.dst, bits);
}
void makeIsspacep(Decoder& d, Instr& in) {
  int space = d.words().takeOneOf({"global", "shared", "local", "shared::cta"});
  if (space < 0)
    d.fail("isspacep names global, shared or local");
  d.count(Class::Predicate);
  in.variant = uint8_t(space == 3 ? 1 : space);
  in.dst = d.writePredicate(d.operand(0));
  in.a = d.read(1, Type::U64);
  in.run = &insideWindow;
}

constexpr Opcode kRows[] = {
    {"ld", "{.weak/volatile/relaxed/acquire}{.space}{.nc}{hints}{.v2/v4/v8}.type", "9.7.9.8, 9.7.9.9", &makeLd},
    {"ldu", "as ld", "9.7.9.10", &makeLd},
    {"st", "{.weak/volatile/relaxed/release}{.space}{hints}{.v2/v4}.type", "9.7.9.11", &makeSt},
    {"atom", "{.sem}{.scope}{.space}.and/or/xor/cas/exch/add/inc/dec/min/max.type", "9.7.13.5", &makeAtomic<true>},
    {"red", "as atom", "9.7.13.6", &makeAtomic<false>},
    {"cp", ".async.ca/cg.shared.global 4/8/16{, src-size}; .async.commit_group/wait_group/wait_all", "9.7.9.25.3", &makeCp},
    {"prefetch", "all, without effect", "9.7.9.16", &makePrefetch},
    {"prefetchu", "all, without effect", "9.7.9.16", &makePrefetch},
    {"isspacep", ".global/shared/local", "9.7.9.19", &makeIsspacep},
};

} // namespace

std::span<const Opcode> memoryRows() { return kRows; }

} // namespace moec::emulator::MOEC_LANES
