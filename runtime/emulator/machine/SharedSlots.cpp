#include "runtime/emulator/machine/Warp.h"

#include <bit>
#include <cstring>

namespace moec::emulator {
namespace {

// As the cells of shared memory tell each other's turns apart.
constexpr uint64_t kTurn = 127ull << 54 | 0xfffffull << 34;

/// Who read a granule last, after one more read.
Cell joined(Cell known, Cell mine, uint32_t floor, uint32_t ownFloor) {
  if (!known.bits || (known.bits & kTurn) != (mine.bits & kTurn) || known.sameThread(mine))
    return mine;
  bool ownWarp = known.warp() == mine.warp();
  if (known.stamp() < (ownWarp && known.many() < Many::Warps ? ownFloor : floor))
    return mine;
  return mine.with(std::max({known.many(), mine.many(), ownWarp ? Many::Lanes : Many::Warps}));
}

} // namespace

void settleReads(Cta& cta) {
  SharedSlots& slots = cta.slots;
  int shift = cta.launch->sharedShift;
  for (size_t i = 0; i < slots.count; ++i) {
    const NotedRead& read = slots.noted[i];
    uint32_t ownFloor = std::max(cta.floor, cta.warpFloor[read.warp]);
    uint32_t mask = read.mask;
    Cell first = Cell::make(cta.epoch >> 20 & 127, cta.epoch, read.stamp, read.warp, 0);
    if (read.shape == Shape::Uniform && (mask & (mask - 1))) { // one step for all lanes
      first = first.with(Many::Lanes);
      mask = 1;
    }
    for (; mask; mask &= mask - 1) {
      uint32_t lane = uint32_t(std::countr_zero(mask));
      uint32_t address = read.shape == Shape::Scattered ? read.address[lane] : read.address[0] + (read.shape == Shape::Contiguous ? lane * read.bytes : 0);
      for (uint32_t g = address >> shift; g <= (address + read.bytes - 1) >> shift; ++g)
        cta.sharedReader[g] = joined(cta.sharedReader[g], Cell{first.bits | lane}, cta.floor, ownFloor);
    }
  }
  slots.count = 0;
}

void refreshSlots(Cta& cta, uint64_t begin, uint64_t end) {
  constexpr uint64_t kAll = 0x0101010101010101;
  for (uint64_t slot = begin >> SharedSlots::kShift; slot <= (end - 1) >> SharedSlots::kShift; ++slot) {
    uint64_t written[2], pending[2] = {};
    std::memcpy(written, &cta.sharedWritten[slot << SharedSlots::kShift], 16);
    if (!cta.sharedPending.empty())
      std::memcpy(pending, &cta.sharedPending[slot << SharedSlots::kShift], 16);
    bool ready = (written[0] & written[1]) == kAll && !(pending[0] | pending[1]);
    cta.slots.written[slot] = cta.stamp | (ready ? 0 : SharedSlots::kUnready);
  }
}

} // namespace moec::emulator
