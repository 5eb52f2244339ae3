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
  refreshSlots(cta, copy.address, copy.address + copy.bytes);
}

} // namespace

void queueCopy(Warp& warp, uint32_t lane, uint32_t address, const uint8_t* data, uint32_t dataBytes, uint32_t bytes) {
  Cta& cta = *warp.cta;
  if (cta.sharedPending.empty())
    cta.sharedPending.assign(cta.shared.size(), 0);
  PendingCopy copy{lane, warp.committed[lane], address, bytes, warp.pc, {}};
  if (dataBytes)
    std::memcpy(copy.data, data, dataBytes);
  std::memset(&cta.sharedPending[address], 1, bytes);
  cta.slots.written[address >> SharedSlots::kShift] |= SharedSlots::kUnready;
  warp.copies.push_back(copy);
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
  cta.warpFloor[warp.index] = ++cta.stamp;
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
