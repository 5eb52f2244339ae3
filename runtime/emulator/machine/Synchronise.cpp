// Asynchronous copies, and what fences, atomics and warp barriers mean for the order of accesses.

#include "runtime/emulator/machine/Warp.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace moec::emulator {
namespace {

void land(Warp& warp, const PendingCopy& copy) {
  Cta& cta = *warp.cta;
  std::memcpy(&cta.shared[copy.address], copy.data, copy.bytes);
  std::memset(&cta.sharedWritten[copy.address], 1, copy.bytes);
  if (!cta.sharedPending.empty())
    std::memset(&cta.sharedPending[copy.address], 0, copy.bytes);
  if (!cta.launch->options->checks)
    return;
  int shift = cta.launch->sharedShift; // the bytes count as written now, by the thread that waited
  for (uint32_t g = copy.address >> shift; g <= (copy.address + copy.bytes - 1) >> shift; ++g)
    cta.sharedWriters[g] = Cell::make(cta.epoch >> 20 & 127, cta.epoch, cta.stamp, warp.index, copy.lane);
}

} // namespace

// in.a: shared destination; in.b: global source, its displacement in in.list, its bounds in in.dst; in.c: bytes to copy (the rest of
// in.bytes is zero) or kNowhere.
void startCopy(Warp& warp, const Instr& in) {
  Cta& cta = *warp.cta;
  uint32_t all = warp.mask;
  Access from, to;
  uint32_t sourceBytes[kLanes];
  for (int lane = 0; lane < kLanes; ++lane)
    sourceBytes[lane] = in.c == kNowhere ? in.bytes : std::min<uint32_t>(warp.at<uint32_t>(in.c)[lane], in.bytes);
  uint32_t reading = 0;
  bool whole = true;
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    if (all >> lane & 1) {
      reading |= uint32_t(sourceBytes[lane] != 0) << lane;
      whole &= sourceBytes[lane] == in.bytes || sourceBytes[lane] == 0;
    }
  Instr source = in;
  source.space = Space::Global;
  source.bounds = in.dst; // the rule of the source address
  source.wideAddress = true;
  from.mask = 0;
  const std::vector<uint32_t>& lists = cta.launch->program->lists;
  computeAddresses(warp, source, in.b, int64_t(lists[in.list] | uint64_t(lists[in.list + 1]) << 32), from);
  if (reading) {
    warp.mask = reading;
    resolve(warp, source, from, AccessKind::Read, whole ? in.bytes : 1);
  }
  warp.mask = all;
  computeAddresses(warp, in, in.a, in.displacement, to);
  resolve(warp, in, to, AccessKind::Write, in.bytes);
  if (cta.sharedPending.empty())
    cta.sharedPending.assign(cta.shared.size(), 0);
  for (uint32_t rest = to.mask; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    PendingCopy copy{lane, warp.committed[lane], uint32_t(to.address[lane]), in.bytes, warp.pc, {}};
    if (from.mask >> lane & 1)
      std::memcpy(copy.data, from.host[lane], sourceBytes[lane]);
    std::memset(&cta.sharedPending[copy.address], 1, copy.bytes);
    warp.copies.push_back(copy);
  }
}

void commitCopies(Warp& warp) {
  for (uint32_t rest = warp.mask; rest; rest &= rest - 1)
    ++warp.committed[std::countr_zero(rest)];
}

void waitCopies(Warp& warp, uint32_t newest, bool all) {
  auto landed = [&](const PendingCopy& copy) {
    if (!(warp.mask >> copy.lane & 1) || (!all && copy.group + newest >= warp.committed[copy.lane]))
      return false;
    land(warp, copy);
    return true;
  };
  warp.copies.erase(std::remove_if(warp.copies.begin(), warp.copies.end(), landed), warp.copies.end());
}

void noteWarpSync(Warp& warp, uint32_t) {
  Cta& cta = *warp.cta;
  cta.partial = true;
  cta.synced[warp.index * cta.warps.size() + warp.index] = ++cta.stamp;
}

void noteFence(Warp& warp, bool wide) {
  if (!wide)
    return;
  Cta& cta = *warp.cta;
  cta.fenced[warp.index] = ++cta.stamp;
  cta.launch->fences = true;
}

// An atomic after a fence releases what was before the fence; an atomic that sees the address acquires it, for its whole block.
void noteAtomic(Warp& warp, const Access& access) {
  Cta& cta = *warp.cta;
  Launch& launch = *cta.launch;
  if (!launch.fences)
    return;
  std::lock_guard<std::mutex> lock(launch.mutex);
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    auto& blocks = launch.released[access.address[std::countr_zero(rest)]];
    for (const auto& [block, stamps] : blocks)
      if (block != (cta.id & 0xfffff))
        cta.acquired[block] = stamps;
    if (!cta.fenced[warp.index])
      continue;
    std::vector<uint32_t> stamps(cta.warps.size());
    for (uint32_t i = 0; i < stamps.size(); ++i)
      stamps[i] = i == warp.index ? cta.fenced[warp.index] : cta.syncedWith(warp.index, i);
    blocks[cta.id & 0xfffff] = stamps;
    for (const auto& [block, seen] : cta.acquired) // what this block has seen travels on
      if (!blocks.count(block))
        blocks[block] = seen;
  }
}

} // namespace moec::emulator
