// shfl vote match redux elect activemask bar barrier membar fence trap and what has no effect here.

#include "runtime/emulator/ops/Lanes.h"

#include <algorithm>
#include <fmt/format.h>

namespace moec::emulator::MOEC_LANES {
namespace {

/// Warp-synchronous: waits until the lanes of the membermask are there.
void synchronous(Decoder& d, Instr& in, size_t membermask) {
  d.count(Class::Warp);
  in.control = Control::WarpSync;
  in.d = d.read(membermask, Type::B32);
}

enum class Shuffle : uint8_t { Up, Down, Butterfly, Index };
void shuffle(Warp& warp, const Instr& in) {
  const uint32_t *a = warp.at<uint32_t>(in.a), *b = warp.at<uint32_t>(in.b), *c = warp.at<uint32_t>(in.c);
  uint32_t made[kLanes] = {}, inside = 0, bad = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    int by = int(b[lane] & 31), clamp = int(c[lane] & 31), segment = int(c[lane] >> 8 & 31);
    int highest = (lane & segment) | (clamp & ~segment & 31), lowest = lane & segment, from = lane;
    bool found = false;
    switch (Shuffle(in.variant)) {
    case Shuffle::Up:
      from = lane - by;
      found = from >= highest;
      break;
    case Shuffle::Down:
      from = lane + by;
      found = from <= highest;
      break;
    case Shuffle::Butterfly:
      from = lane ^ by;
      found = from <= highest;
      break;
    case Shuffle::Index:
      from = lowest | (by & ~segment & 31);
      found = from <= highest;
      break;
    }
    if (!found)
      from = lane;
    else if (!(warp.mask >> from & 1))
      bad |= 1u << lane;
    inside |= uint32_t(found) << lane;
    made[lane] = a[from];
  }
  if (bad && warp.cta->launch->options->checks)
    warp.cta->launch->report(warp, Finding::Kind::BadShuffle, uint32_t(std::countr_zero(bad)),
                             fmt::format("reads from a lane that does not take part (taking part: {:#010x})", warp.mask));
  if (in.dst != kNowhere)
    store<uint32_t>(warp, in.dst, [&](int lane) { return made[lane]; });
  setPredicate(warp, in.dst2, inside);
}
void makeShfl(Decoder& d, Instr& in) {
  Words& words = d.words();
  if (!words.take("sync"))
    d.fail("shfl without .sync left PTX with sm_70");
  int mode = words.takeOneOf({"up", "down", "bfly", "idx"});
  words.takeType();
  if (mode < 0)
    d.fail("shfl names up, down, bfly or idx");
  in.variant = uint8_t(mode);
  in.dst = d.write(0);
  if (!d.operand(0).parts.empty())
    in.dst2 = d.writePredicate(d.operand(0).parts[0]);
  in.a = d.read(1, Type::B32);
  in.b = d.read(2, Type::B32);
  in.c = d.read(3, Type::B32);
  synchronous(d, in, 4);
  in.run = &shuffle;
}

void vote(Warp& warp, const Instr& in) {
  uint32_t votes = (warp.predicates[in.a] ^ uint32_t(in.displacement)) & warp.mask;
  switch (in.variant) {
  case 0:
    return setPredicate(warp, in.dst, votes == warp.mask ? ~0u : 0);
  case 1:
    return setPredicate(warp, in.dst, votes ? ~0u : 0);
  case 2:
    return setPredicate(warp, in.dst, votes == warp.mask || votes == 0 ? ~0u : 0);
  default:
    store<uint32_t>(warp, in.dst, [&](int) { return votes; });
  }
}
void makeVote(Decoder& d, Instr& in) {
  Words& words = d.words();
  if (!words.take("sync"))
    d.fail("vote without .sync left PTX with sm_70");
  int mode = words.takeOneOf({"all", "any", "uni", "ballot"});
  words.takeType();
  in.variant = uint8_t(mode);
  in.dst = mode == 3 ? d.write(0) : d.writePredicate(d.operand(0));
  uint32_t flip = 0;
  in.a = d.readPredicate(d.operand(1), flip);
  in.displacement = flip;
  synchronous(d, in, 2);
  in.run = mode < 0 ? nullptr : &vote;
}

template <class T> void matchLanes(Warp& warp, const Instr& in) {
  const T* a = warp.at<T>(in.a);
  uint32_t made[kLanes] = {};
  for (int lane = 0; lane < kLanes; ++lane)
    for (int other = 0; other < kLanes; ++other)
      made[lane] |= uint32_t((warp.mask >> other & 1) && a[other] == a[lane]) << other;
  bool all = true;
  for (int lane = 0; lane < kLanes; ++lane)
    if (warp.mask >> lane & 1)
      all &= made[lane] == warp.mask;
  if (in.dst != kNowhere)
    store<uint32_t>(warp, in.dst, [&](int lane) { return in.variant == 0 ? made[lane] : all ? warp.mask : 0u; });
  setPredicate(warp, in.dst2, all ? ~0u : 0);
}
void makeMatch(Decoder& d, Instr& in) {
  Words& words = d.words();
  int mode = words.takeOneOf({"any", "all"});
  words.take("sync");
  Type type = words.takeType();
  in.variant = uint8_t(mode);
  in.dst = d.write(0);
  if (!d.operand(0).parts.empty())
    in.dst2 = d.writePredicate(d.operand(0).parts[0]);
  in.a = d.read(1, type);
  synchronous(d, in, 2);
  in.run = mode < 0 ? nullptr : bytesOf(type) == 8 ? &matchLanes<uint64_t> : &matchLanes<uint32_t>;
}

enum class Reduce : uint8_t { Add, Min, Max, And, Or, Xor };
template <class T> void reduce(Warp& warp, const Instr& in) {
  const uint32_t* a = warp.at<uint32_t>(in.a);
  bool first = true;
  T made{};
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(warp.mask >> lane & 1))
      continue;
    T x = open<T>(a[lane]);
    if (first) {
      made = x;
      first = false;
      continue;
    }
    switch (Reduce(in.variant)) {
    case Reduce::Add:
      made = T(made + x);
      break;
    case Reduce::Min:
      made = made != made || x < made ? x : made;
      break;
    case Reduce::Max:
      made = made != made || x > made ? x : made;
      break;
    default:
      if constexpr (std::is_integral_v<T>)
        made = Reduce(in.variant) == Reduce::And ? made & x : Reduce(in.variant) == Reduce::Or ? made | x : made ^ x;
    }
  }
  store<T>(warp, in.dst, [&](int) { return made; });
}
void makeRedux(Decoder& d, Instr& in) {
  Words& words = d.words();
  words.take("sync");
  int mode = words.takeOneOf({"add", "min", "max", "and", "or", "xor"});
  Type type = words.takeType();
  in.variant = uint8_t(mode);
  in.dst = d.write(0);
  in.a = d.read(1, type);
  synchronous(d, in, 2);
  if (mode >= 0)
    in.run = type == Type::F32 ? (mode == 1 || mode == 2 ? &reduce<float> : nullptr) : &reduce<uint32_t>;
  if (mode >= 0 && type == Type::S32) // sums do not know signs
    in.run = mode == 1 || mode == 2 ? &reduce<int32_t> : &reduce<uint32_t>;
}

void elect(Warp& warp, const Instr& in) {
  uint32_t leader = uint32_t(std::countr_zero(warp.mask));
  if (in.dst != kNowhere)
    store<uint32_t>(warp, in.dst, [&](int) { return leader; });
  setPredicate(warp, in.dst2, 1u << leader);
}
void makeElect(Decoder& d, Instr& in) {
  d.words().take("sync");
  in.dst = d.write(0);
  if (!d.operand(0).parts.empty())
    in.dst2 = d.writePredicate(d.operand(0).parts[0]);
  synchronous(d, in, 1);
  in.run = &elect;
}

void activeMask(Warp& warp, const Instr& in) {
  uint32_t mask = warp.mask;
  store<uint32_t>(warp, in.dst, [&](int) { return mask; });
}
void makeActivemask(Decoder& d, Instr& in) {
  d.words().takeType();
  d.count(Class::Warp);
  in.dst = d.write(0);
  in.run = &activeMask;
}

void warpBarrier(Warp& warp, const Instr&) { noteWarpSync(warp, warp.mask); }

/// bar is aligned: all running lanes of a warp come together. barrier need not be.
template <bool Aligned> void makeBarrier(Decoder& d, Instr& in) {
  Words& words = d.words();
  d.count(Class::Barrier);
  if (words.take("warp")) {
    words.take("sync");
    synchronous(d, in, 0);
    d.count(Class::Barrier);
    in.run = &warpBarrier;
    return;
  }
  words.take("cta");
  bool aligned = words.take("aligned") || Aligned;
  in.count = aligned;
  in.control = Control::Barrier;
  size_t at = 0;
  if (words.take("sync")) {
    in.variant = uint8_t(BarrierKind::Sync);
  } else if (words.take("arrive")) {
    in.variant = uint8_t(BarrierKind::Arrive);
  } else if (words.take("red")) {
    int op = words.takeOneOf({"popc", "and", "or"});
    words.takeType();
    in.variant = uint8_t(int(BarrierKind::RedPopc) + op);
    in.dst = op == 0 ? d.write(at++) : d.writePredicate(d.operand(at++));
    uint32_t flip = 0;
    in.c = d.readPredicate(d.operand(d.operandCount() - 1), flip);
    in.displacement = flip;
  } else {
    d.fail("a barrier is sync, arrive or red");
  }
  size_t end = d.operandCount() - (in.variant >= uint8_t(BarrierKind::RedPopc) ? 1 : 0);
  if (auto number = d.immediate(d.operand(at)); number && uint64_t(*number) > 15)
    d.fail(fmt::format("there is no barrier {}, a block has 0 to 15", *number));
  in.a = d.read(at++, Type::U32);
  if (at < end)
    if (auto threads = d.immediate(d.operand(at)); threads && (*threads <= 0 || *threads > 1024 || *threads % kLanes))
      d.fail(fmt::format("{} threads: a barrier is for a multiple of 32, up to 1024", *threads));
  in.b = at < end ? d.read(at, Type::U32) : kNowhere;
  if (in.variant == uint8_t(BarrierKind::Arrive) && in.b == kNowhere)
    d.fail("arrive names a thread count");
}

void fenceAll(Warp& warp, const Instr& in) { noteFence(warp, in.variant); }
void makeFence(Decoder& d, Instr& in) {
  Words& words = d.words();
  words.takeOneOf({"sc", "acq_rel", "acquire", "release"});
  if (words.take("proxy")) {
    words.takeOneOf({"async", "alias", "tensormap::generic"});
    words.takeOneOf({"global", "shared::cta", "shared::cluster"});
  }
  int scope = words.takeOneOf({"cta", "cluster", "gl", "gpu", "sys"});
  d.count(Class::Barrier);
  in.variant = scope > 0;
  in.run = &fenceAll;
}

void makeTrap(Decoder& d, Instr& in) {
  d.count(Class::Control);
  in.control = Control::Trap;
}
void nothing(Warp&, const Instr&) {}
void makeNothing(Decoder& d, Instr& in) {
  d.count(Class::Control);
  Words& words = d.words();
  words.takeType();
  words.takeOneOf({"launch_dependents", "wait", "inc", "dec"});
  words.take("sync");
  words.take("aligned");
  words.take("mask");
  in.run = &nothing;
}

constexpr Opcode kRows[] = {
    {"shfl", ".sync.up/down/bfly/idx.b32", "9.7.9.6", &makeShfl},
    {"vote", ".sync.all/any/uni.pred, .sync.ballot.b32", "9.7.13.8", &makeVote},
    {"match", ".any/all.sync.b32/b64", "9.7.13.9", &makeMatch},
    {"redux", ".sync.add/min/max.u32/s32, .and/or/xor.b32, .min/max.f32", "9.7.13.11", &makeRedux},
    {"elect", ".sync", "9.7.13.14", &makeElect},
    {"activemask", ".b32", "9.7.13.10", &makeActivemask},
    {"bar", "{.cta}.sync/arrive/red.popc/and/or, .warp.sync", "9.7.13.1, 9.7.13.2", &makeBarrier<true>},
    {"barrier", "{.cta}.sync/arrive/red{.aligned}", "9.7.13.1", &makeBarrier<false>},
    {"membar", ".cta/gl/sys", "9.7.13.4", &makeFence},
    {"fence", "{.sc/acq_rel}.cta/cluster/gpu/sys, .proxy", "9.7.13.4", &makeFence},
    {"trap", "", "9.7.19.5", &makeTrap},
    {"nanosleep", ".u32, without effect", "9.7.19.3", &makeNothing},
    {"griddepcontrol", "all, without effect", "9.7.13.13", &makeNothing},
    {"pmevent", "without effect", "9.7.19.4", &makeNothing},
};

} // namespace

std::span<const Opcode> warpRows() { return kRows; }

} // namespace moec::emulator::MOEC_LANES
