#pragma once
// Who touched a piece of memory last, in one word, and the order of what threads do. A "stamp" counts the synchronisations of a block;
// an access by warp v at stamp s happened before what warp w does now iff s < syncedWith(w, v).

#include <cstdint>

namespace moec::emulator {

enum class Many : uint64_t { OneLane, Lanes, Warps, Blocks };

/// lane:5 warp:5 stamp:24 block:20 epoch:7 many:2 atomic:1. An epoch is a launch (global) or a block's turn (shared); other epochs are void.
struct Cell {
  uint64_t bits = 0;

  static Cell make(uint64_t epoch, uint64_t block, uint64_t stamp, uint64_t warp, uint64_t lane) {
    return {lane | warp << 5 | (stamp & 0xffffff) << 10 | (block & 0xfffff) << 34 | epoch << 54};
  }
  uint32_t lane() const { return bits & 31; }
  uint32_t warp() const { return bits >> 5 & 31; }
  uint32_t stamp() const { return bits >> 10 & 0xffffff; }
  uint32_t block() const { return bits >> 34 & 0xfffff; }
  uint32_t epoch() const { return bits >> 54 & 127; }
  Many many() const { return Many(bits >> 61 & 3); }
  bool atomic() const { return bits >> 63; }
  Cell with(Many many) const { return {(bits & ~(3ull << 61)) | uint64_t(many) << 61}; }
  Cell asAtomic() const { return {bits | 1ull << 63}; }
  bool sameThread(Cell other) const { return !((bits ^ other.bits) & 0x3ull << 61) && !((bits ^ other.bits) & (0x3ffull | 0x7ffffffull << 34)); }
};

} // namespace moec::emulator
