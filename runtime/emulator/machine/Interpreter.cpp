// Runs a block: each warp until it waits or ends, fragments of diverged warps in turn, barriers, and what it means when nobody can go on.

#include "runtime/emulator/machine/Warp.h"

#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace moec::emulator {
namespace {

// A fragment gives way to its siblings after this many instructions, so that lanes that spin let the others come.
constexpr uint64_t kFragmentTurn = 20'000;

class WarpRunner {
public:
  WarpRunner(Cta& cta, Warp& warp) : cta_(cta), warp_(warp), program_(*cta.launch->program) {}

  /// Runs until no fragment is ready, or `budget` is spent.
  void run(uint64_t& budget) {
    for (;;) {
      int next = pick();
      if (next < 0 || budget == 0 || cta_.aborted)
        return;
      warp_.current = next;
      runFragment(budget);
    }
  }

  void release(int fragment) {
    Fragment& f = warp_.fragments[size_t(fragment)];
    f.state = Fragment::State::Ready;
    ++f.pc;
  }

  /// Executes a warp-synchronous instruction for the fragments waiting at `pc` and lets them go on.
  void executeSync(uint32_t pc) {
    uint32_t lanes = 0;
    for (const Fragment& f : warp_.fragments)
      if (f.state == Fragment::State::AtSync && f.pc == pc)
        lanes |= f.arrived;
    const Instr& in = program_.code[pc];
    warp_.pc = pc;
    warp_.mask = lanes;
    in.run(warp_, in);
    for (size_t i = 0; i < warp_.fragments.size(); ++i)
      if (warp_.fragments[i].state == Fragment::State::AtSync && warp_.fragments[i].pc == pc)
        release(int(i));
  }

private:
  int pick() {
    size_t n = warp_.fragments.size();
    for (size_t i = 0; i < n; ++i) {
      size_t at = (size_t(warp_.current + 1) + i) % n;
      if (warp_.fragments[at].state == Fragment::State::Ready)
        return int(at);
    }
    return -1;
  }

  int newFragment(Fragment made) {
    for (size_t i = 0; i < warp_.fragments.size(); ++i)
      if (warp_.fragments[i].state == Fragment::State::Dead) {
        warp_.fragments[i] = made;
        return int(i);
      }
    warp_.fragments.push_back(made);
    return int(warp_.fragments.size()) - 1;
  }

  int newJoin(Join made) {
    made.used = true;
    for (size_t i = 0; i < warp_.joins.size(); ++i)
      if (!warp_.joins[i].used) {
        warp_.joins[i] = made;
        return int(i);
      }
    warp_.joins.push_back(made);
    return int(warp_.joins.size()) - 1;
  }

  /// Lets the lanes of a complete join go on together. They may at once have arrived at the join around it.
  void complete(int join) {
    while (join >= 0) {
      Join& j = warp_.joins[size_t(join)];
      if (j.expected == 0) {
        int parent = j.parent;
        j.used = false;
        join = parent;
        continue;
      }
      if (j.arrived != j.expected)
        return;
      Fragment f;
      f.mask = j.arrived;
      f.pc = j.pc;
      f.join = j.parent;
      j.used = false;
      int parent = j.parent;
      if (parent >= 0 && warp_.joins[size_t(parent)].pc == f.pc) {
        warp_.joins[size_t(parent)].arrived |= f.mask;
        join = parent;
        continue;
      }
      newFragment(f);
      return;
    }
  }

  void exitLanes(uint32_t lanes) {
    Fragment& f = warp_.fragments[size_t(warp_.current)];
    warp_.alive &= ~lanes;
    cta_.aliveThreads -= uint32_t(std::popcount(lanes));
    f.mask &= ~lanes;
    int join = f.join;
    if (!f.mask)
      f.state = Fragment::State::Dead;
    for (int at = join; at >= 0; at = warp_.joins[size_t(at)].parent)
      warp_.joins[size_t(at)].expected &= ~lanes;
    if (!f.mask)
      complete(join);
  }

  /// Splits the current fragment; false when all its lanes left it.
  void branch(const Instr& in, uint32_t taken) {
    Fragment& f = warp_.fragments[size_t(warp_.current)];
    uint32_t rest = f.mask & ~taken;
    if (!rest) {
      f.pc = in.target;
      return;
    }
    if (!taken) {
      ++f.pc;
      return;
    }
    uint32_t next = f.pc + 1;
    int join = f.join;
    if (in.join != kNowhere && (join < 0 || warp_.joins[size_t(join)].pc != in.join)) {
      Join made;
      made.expected = f.mask;
      made.pc = in.join;
      made.parent = join;
      join = newJoin(made);
    }
    Fragment other;
    other.mask = taken;
    other.pc = in.target;
    other.join = join;
    f.mask = rest;
    f.pc = next;
    f.join = join;
    newFragment(other);
  }

  /// Every active lane reads the guard; the operands are read by those that it lets pass.
  void checkReads(const Instr& in, uint32_t active) {
    const InstrInfo& info = program_.info[warp_.pc];
    for (uint32_t reg : info.reads) {
      const ProgramRegister& read = program_.registers[reg];
      bool guard = in.guard && read.predicate && read.place == in.guard;
      uint32_t missing = (guard ? active : warp_.mask) & ~warp_.defined[reg];
      if (missing)
        cta_.launch->report(warp_, Finding::Kind::Uninitialised, uint32_t(std::countr_zero(missing)),
                            fmt::format("reads register {}, which nothing has written", read.name));
    }
  }

  /// Whether the instruction may run now. Otherwise the fragment waits.
  bool syncReady(const Instr& in, uint32_t mask, uint32_t pc) {
    Fragment& f = warp_.fragments[size_t(warp_.current)];
    const uint32_t* members = warp_.at<uint32_t>(in.d);
    uint32_t first = members[std::countr_zero(mask)], named = first & warp_.alive;
    if (uint32_t outside = mask & ~first)
      cta_.launch->report(warp_, Finding::Kind::DivergentSync, uint32_t(std::countr_zero(outside)),
                          fmt::format("executed by a lane that its membermask {:#010x} does not name", first));
    uint32_t here = mask;
    for (const Fragment& other : warp_.fragments)
      if (other.state == Fragment::State::AtSync && other.pc == pc)
        here |= other.arrived;
    if ((named & ~here) == 0 && here == mask)
      return true;
    f.state = Fragment::State::AtSync;
    f.arrived = mask;
    f.members = first;
    if ((named & ~here) == 0)
      executeSync(pc);
    return false;
  }

  void arriveAtBarrier(const Instr& in, uint32_t mask);

  void runFragment(uint64_t& budget);

  Cta& cta_;
  Warp& warp_;
  const Program& program_;
};

void recordArrival(Cta& cta, Warp& warp, Barrier& barrier, uint32_t mask, const Instr& in, uint32_t pc) {
  if (barrier.participants == 0) {
    barrier.firstPc = pc;
    barrier.popc = 0;
    barrier.andAll = 1;
    barrier.orAny = 0;
    barrier.joined.assign(cta.warps.size(), 0);
  }
  barrier.arrived += uint32_t(std::popcount(mask));
  barrier.participants |= 1u << warp.index;
  auto kind = BarrierKind(in.variant);
  if (kind == BarrierKind::RedPopc || kind == BarrierKind::RedAnd || kind == BarrierKind::RedOr) {
    uint32_t votes = (warp.predicates[in.c] ^ uint32_t(in.displacement)) & mask;
    barrier.popc += uint32_t(std::popcount(votes));
    barrier.andAll &= votes == mask;
    barrier.orAny |= votes != 0;
  }
  if (kind == BarrierKind::Arrive) {
    for (uint32_t i = 0; i < cta.warps.size(); ++i)
      barrier.joined[i] = std::max(barrier.joined[i], i == warp.index ? ++cta.stamp : cta.syncedWith(warp.index, i));
    cta.becomePartial();
  } else {
    barrier.waitingWarps |= 1u << warp.index;
  }
}

void synchronise(Cta& cta, Barrier& barrier) {
  uint32_t stamp = ++cta.stamp, count = uint32_t(cta.warps.size());
  uint32_t living = 0;
  for (const Warp& warp : cta.warps)
    living |= uint32_t(warp.alive != 0) << warp.index;
  if ((living & ~barrier.waitingWarps) == 0 && !barrier.counted) {
    cta.floor = stamp;
    cta.slots.count = 0; // whatever was read happened before
    return;
  }
  cta.becomePartial();
  for (uint32_t v = 0; v < count; ++v)
    if (barrier.waitingWarps >> v & 1)
      for (uint32_t i = 0; i < count; ++i)
        barrier.joined[i] = std::max(barrier.joined[i], i == v ? stamp : cta.syncedWith(v, i));
  for (uint32_t w = 0; w < count; ++w)
    if (barrier.waitingWarps >> w & 1)
      for (uint32_t i = 0; i < count; ++i) {
        uint32_t& known = cta.synced[w * count + i];
        known = std::max(known, barrier.joined[i]);
      }
}

void writeReduction(Warp& warp, const Instr& in, const Fragment& f, const Barrier& barrier) {
  auto kind = BarrierKind(in.variant);
  if (kind == BarrierKind::RedPopc) {
    uint32_t* out = warp.at<uint32_t>(in.dst);
    for (int lane = 0; lane < kLanes; ++lane)
      if (f.mask >> lane & 1)
        out[lane] = barrier.popc;
  } else if (kind == BarrierKind::RedAnd || kind == BarrierKind::RedOr) {
    bool value = kind == BarrierKind::RedAnd ? barrier.andAll : barrier.orAny;
    warp.predicates[in.dst] = (warp.predicates[in.dst] & ~f.mask) | (value ? f.mask : 0);
  }
}

void releaseBarrier(Cta& cta, uint32_t number) {
  Barrier& barrier = cta.barriers[number];
  synchronise(cta, barrier);
  for (Warp& warp : cta.warps) {
    WarpRunner runner(cta, warp);
    for (size_t i = 0; i < warp.fragments.size(); ++i) {
      Fragment& f = warp.fragments[i];
      if (f.state != Fragment::State::AtBarrier || f.barrier != number)
        continue;
      writeReduction(warp, cta.launch->program->code[f.pc], f, barrier);
      runner.release(int(i));
    }
  }
  barrier = Barrier();
}

bool barrierComplete(const Cta& cta, const Barrier& barrier) {
  return barrier.participants && barrier.arrived >= (barrier.counted ? barrier.expected : cta.aliveThreads);
}

void WarpRunner::arriveAtBarrier(const Instr& in, uint32_t mask) {
  Fragment& f = warp_.fragments[size_t(warp_.current)];
  uint32_t pc = f.pc, lane = uint32_t(std::countr_zero(mask));
  uint32_t number = warp_.at<uint32_t>(in.a)[lane], threads = in.b == kNowhere ? kLanes : warp_.at<uint32_t>(in.b)[lane];
  if (number > 15 || !threads || threads % kLanes) { // nobody can say what such a barrier would order: the block ends here
    std::string detail = number > 15 ? fmt::format("there is no barrier {}, a block has 0 to 15", number)
                                     : fmt::format("the barrier is for {} threads, which is no multiple of 32 over 0", threads);
    cta_.launch->report(warp_, Finding::Kind::DivergentBarrier, lane, detail);
    cta_.aborted = true;
    return;
  }
  Barrier& barrier = cta_.barriers[number];
  bool aligned = in.count != 0;
  if (aligned && mask != warp_.alive && cta_.launch->options->checks)
    cta_.launch->report(warp_, Finding::Kind::DivergentBarrier, lane,
                        fmt::format("lanes {:#010x} of the warp are here, the running lanes {:#010x} are elsewhere", mask, warp_.alive & ~mask));
  if (in.b != kNowhere) {
    barrier.counted = true;
    barrier.expected = threads;
  }
  recordArrival(cta_, warp_, barrier, mask, in, pc);
  if (!barrier.counted && barrier.firstPc != pc && cta_.launch->options->checks) {
    const InstrInfo& first = program_.info[barrier.firstPc];
    cta_.launch->report(
        warp_, Finding::Kind::DivergentBarrier, lane,
        fmt::format("other warps wait for barrier {} at another instruction (line {}, ptx {})", number, first.position.sourceLine, first.position.line));
  }
  if (BarrierKind(in.variant) == BarrierKind::Arrive) {
    ++f.pc;
  } else if (f.mask != mask) { // lanes whose guard does not hold go on alone
    Fragment waiting = f;
    waiting.mask = mask;
    waiting.state = Fragment::State::AtBarrier;
    waiting.barrier = number;
    f.mask &= ~mask;
    ++f.pc;
    newFragment(waiting);
  } else {
    f.state = Fragment::State::AtBarrier;
    f.barrier = number;
  }
  if (barrierComplete(cta_, barrier))
    releaseBarrier(cta_, number);
}

void WarpRunner::runFragment(uint64_t& budget) {
  const Instr* code = program_.code.data();
  Worker& worker = *cta_.worker;
  uint64_t* issued = worker.issued.data();
  uint64_t* laneCounts = worker.lanes.data();
  uint64_t turn = std::min(budget, warp_.fragments.size() > 1 ? kFragmentTurn : budget);
  uint64_t left = turn;
  uint32_t pc = warp_.fragments[size_t(warp_.current)].pc, active = warp_.fragments[size_t(warp_.current)].mask;
  auto stop = [&] {
    budget -= turn - left;
    cta_.executed += turn - left;
  };
  while (left) {
    const Instr& in = code[pc];
    if (in.flags & kMerge) {
      Fragment& f = warp_.fragments[size_t(warp_.current)];
      if (f.join >= 0 && warp_.joins[size_t(f.join)].pc == pc) {
        int join = f.join;
        f.state = Fragment::State::Dead;
        warp_.joins[size_t(join)].arrived |= f.mask;
        complete(join);
        return stop();
      }
    }
    uint32_t mask = active & (warp_.predicates[in.guard] ^ in.guardFlip);
    --left;
    ++issued[pc];
    laneCounts[pc] += mask == ~0u ? kLanes : std::popcount(mask);
    warp_.mask = mask;
    warp_.pc = pc;
    if (in.flags & (kCheckReads | kTrackWrites)) {
      if (in.flags & kCheckReads)
        checkReads(in, active);
      if (in.flags & kTrackWrites)
        for (uint32_t reg : program_.info[pc].writes)
          warp_.defined[reg] |= mask;
    }
    if (in.control == Control::None) {
      if (mask)
        in.run(warp_, in);
      ++pc;
      continue;
    }
    Fragment& f = warp_.fragments[size_t(warp_.current)];
    f.pc = pc;
    switch (in.control) {
    case Control::Branch:
      branch(in, mask);
      break;
    case Control::Exit:
      if (mask)
        exitLanes(mask);
      if (warp_.fragments[size_t(warp_.current)].state == Fragment::State::Ready)
        ++warp_.fragments[size_t(warp_.current)].pc;
      for (uint32_t i = 0; i < 16; ++i)
        if (mask && barrierComplete(cta_, cta_.barriers[i]) && !cta_.barriers[i].counted && cta_.aliveThreads)
          releaseBarrier(cta_, i);
      break;
    case Control::Trap:
      if (mask) {
        cta_.launch->report(warp_, Finding::Kind::Trap, uint32_t(std::countr_zero(mask)), "the kernel stops itself here");
        cta_.aborted = true;
        return stop();
      }
      ++f.pc;
      break;
    case Control::Barrier:
      if (mask)
        arriveAtBarrier(in, mask);
      else
        ++f.pc;
      break;
    case Control::WarpSync:
      if (!mask) {
        ++f.pc;
      } else if (syncReady(in, mask, pc)) {
        in.run(warp_, in);
        ++warp_.fragments[size_t(warp_.current)].pc;
      }
      break;
    case Control::None:
      break;
    }
    const Fragment& now = warp_.fragments[size_t(warp_.current)];
    if (now.state != Fragment::State::Ready || cta_.aborted)
      return stop();
    pc = now.pc;
    active = now.mask;
    if (warp_.fragments.size() > 1 && left > kFragmentTurn) { // a sibling appeared: take turns from now on
      turn -= left - kFragmentTurn;
      left = kFragmentTurn;
    }
  }
  warp_.fragments[size_t(warp_.current)].pc = pc;
  stop();
}

/// Nobody can run, yet threads are left: say why, and let the longest chain of waiting go on, so that what follows is seen too.
void breakDeadlock(Cta& cta) {
  Launch& launch = *cta.launch;
  for (Warp& warp : cta.warps)
    for (const Fragment& f : warp.fragments)
      if (f.state == Fragment::State::AtSync) {
        warp.pc = f.pc;
        launch.report(warp, Finding::Kind::DivergentSync, uint32_t(std::countr_zero(f.arrived)),
                      fmt::format("membermask {:#010x} names lanes {:#010x}, which never come here", f.members, f.members & warp.alive & ~f.arrived), f.pc);
        WarpRunner(cta, warp).executeSync(f.pc);
        return;
      }
  for (uint32_t number = 0; number < 16; ++number) {
    Barrier& barrier = cta.barriers[number];
    if (!barrier.waitingWarps)
      continue;
    for (Warp& warp : cta.warps)
      for (const Fragment& f : warp.fragments)
        if (f.state == Fragment::State::AtBarrier && f.barrier == number) {
          warp.pc = f.pc;
          launch.report(
              warp, Finding::Kind::Deadlock, uint32_t(std::countr_zero(f.mask)),
              fmt::format("barrier {} waits for {} threads, only {} can come", number, barrier.counted ? barrier.expected : cta.aliveThreads, barrier.arrived),
              f.pc);
          releaseBarrier(cta, number);
          return;
        }
  }
  cta.aborted = true;
}

} // namespace

bool runCta(Cta& cta, uint64_t budget) {
  while (cta.aliveThreads && !cta.aborted) {
    bool ran = false;
    for (Warp& warp : cta.warps) {
      uint64_t before = budget;
      if (warp.alive)
        WarpRunner(cta, warp).run(budget);
      ran |= budget != before;
      if (budget == 0)
        return false;
    }
    if (!ran && cta.aliveThreads)
      breakDeadlock(cta);
  }
  return true;
}

} // namespace moec::emulator
