#pragma once
// Races: each granule of memory remembers who wrote and who read it last (machine/Races.h). The quick way looks at a whole access at once
// and knows the harmless cases; what it does not know goes lane by lane. Included by Access.cpp.

#include "runtime/emulator/ops/Lanes.h"

#include <fmt/format.h>

namespace moec::emulator::MOEC_LANES {

inline std::string whoText(const Launch& launch, Cell cell, bool global) {
  uint32_t thread = cell.warp() * kLanes + cell.lane();
  uint32_t x = thread % launch.block[0], y = thread / launch.block[0] % launch.block[1], z = thread / launch.block[0] / launch.block[1];
  std::string text = fmt::format("thread ({},{},{})", x, y, z);
  if (global)
    text += fmt::format(" of block ({},{},{})", cell.block() % launch.grid[0], cell.block() / launch.grid[0] % launch.grid[1],
                        cell.block() / launch.grid[0] / launch.grid[1]);
  return text;
}

/// Races in one kind of memory. Cells of another epoch are void.
struct RaceChecker {
  Warp& warp;
  Cta& cta;
  bool global;
  uint64_t identity; // the bits of a valid cell that tell epochs (and, for shared memory, turns) apart
  uint64_t identityMask;

  RaceChecker(Warp& warp, bool global) : warp(warp), cta(*warp.cta), global(global) {
    Cell mine = make(0);
    identityMask = global ? 127ull << 54 : 127ull << 54 | 0xfffffull << 34;
    identity = mine.bits & identityMask;
  }
  Cell make(uint32_t lane) const {
    uint64_t epoch = global ? cta.launch->epoch : cta.epoch >> 20, block = global ? cta.id : cta.epoch;
    return Cell::make(epoch & 127, block, cta.stamp, warp.index, lane);
  }
  bool valid(Cell cell) const { return cell.bits && (cell.bits & identityMask) == identity; }

  bool ordered(Cell other, const uint32_t* readers) const {
    if (global && other.block() != (cta.id & 0xfffff)) {
      auto found = cta.acquired.find(other.block());
      return found != cta.acquired.end() && other.many() != Many::Blocks && other.stamp() < found->second[other.warp()];
    }
    if (other.many() == Many::Blocks)
      return false;
    if (other.many() == Many::Warps && cta.partial) {
      for (uint32_t i = 0; i < cta.warps.size(); ++i)
        if ((!readers || (*readers >> i & 1)) && other.stamp() >= cta.syncedWith(warp.index, i))
          return false;
      return true;
    }
    return other.stamp() < cta.syncedWith(warp.index, other.warp());
  }

  void report(const Instr&, uint32_t lane, Cell other, const char* what) const {
    const char* space = global ? "global" : "shared";
    cta.launch->report(warp, Finding::Kind::Race, lane,
                       fmt::format("{} memory: {} {}, and nothing orders the two", space, what, whoText(*cta.launch, other, global)));
  }

  void read(const Instr& in, uint32_t lane, Cell& writer, Cell& reader, uint32_t* readers, bool quiet) {
    Cell mine = make(lane);
    if (valid(writer) && !writer.sameThread(mine) && !(quiet && writer.atomic()) && !ordered(writer, nullptr))
      report(in, lane, writer, "reads what was written by");
    if (quiet)
      return;
    Cell known = reader;
    if (known.bits == mine.bits)
      return;
    if (!valid(known) || known.sameThread(mine) || ordered(known, readers)) {
      if (readers)
        *readers = 1u << warp.index;
      reader = mine;
      return;
    }
    Many many = known.many();
    if (known.block() != mine.block())
      many = Many::Blocks;
    else if (known.warp() != mine.warp())
      many = std::max(many, Many::Warps);
    else
      many = std::max(many, Many::Lanes);
    if (readers)
      *readers |= 1u << warp.index;
    reader = mine.with(many);
  }

  /// `same`: the value stored is what is already there, or what the other lane stores too.
  void write(const Instr& in, uint32_t lane, Cell& writer, Cell& reader, const uint32_t* readers, bool atomic, auto&& same) {
    Cell mine = make(lane);
    if (valid(writer) && !writer.sameThread(mine) && !(atomic && writer.atomic()) && !ordered(writer, nullptr) && !same(writer))
      report(in, lane, writer, "writes what was also written by");
    if (valid(reader) && !reader.sameThread(mine) && !ordered(reader, readers))
      report(in, lane, reader, "writes what was read by");
    writer = atomic ? mine.asAtomic() : mine;
  }
};

/// Lane by lane; reports, and keeps what the quick way cannot.
inline void checkRacesSlowly(Warp& warp, const Instr& in, Access& access, AccessKind kind, uint32_t bytes, StoredValues stored, bool global) {
  Cta& cta = *warp.cta;
  RaceChecker checker(warp, global);
  uint8_t values[kLanes * 16];
  if (stored)
    stored(warp, in, values);
  int shift = global ? cta.launch->globalShift : cta.launch->sharedShift;
  uint64_t base = global ? kGlobalBase : 0;
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    uint64_t first = (access.address[lane] - base) >> shift, last = (access.address[lane] - base + bytes - 1) >> shift;
    for (uint64_t g = first; g <= last; ++g) {
      Cell& writer = global ? *cta.launch->memory->writers(g) : cta.sharedWriters[g];
      Cell& reader = global ? *cta.launch->memory->readers(g) : cta.sharedReader[g];
      uint32_t* readers = global ? nullptr : &cta.sharedReaders[g];
      if (kind == AccessKind::Read) {
        checker.read(in, lane, writer, reader, readers, in.ordered);
        continue;
      }
      auto same = [&](Cell other) {
        if (!stored)
          return false;
        const uint8_t* mine = values + lane * 16;
        uint32_t sibling = other.lane();
        if (other.warp() == warp.index && other.block() == checker.make(lane).block() && (access.mask >> sibling & 1) &&
            access.address[sibling] == access.address[lane])
          return std::memcmp(mine, values + sibling * 16, bytes) == 0;
        return std::memcmp(mine, access.host(int(lane)), bytes) == 0;
      };
      checker.write(in, lane, writer, reader, readers, kind == AccessKind::Atomic || in.ordered, same);
    }
  }
}

/// A cell that needs no second look: void, or of the same thread, or known to have happened before.
struct Harmless {
  uint64_t identity, identityMask, floor, ownFloor, block, warp;

  Harmless(const RaceChecker& checker, Cell mine) {
    const Cta& cta = checker.cta;
    identity = checker.identity;
    identityMask = checker.identityMask;
    floor = cta.floor;
    ownFloor = std::max(cta.floor, cta.warpFloor[checker.warp.index]);
    block = mine.block();
    warp = mine.warp();
  }
  /// `mine` is of the lane that looks.
  bool operator()(uint64_t cell, uint64_t mine) const {
    bool isVoid = ((cell & identityMask) != identity) | (cell == 0);
    bool same = ((cell ^ mine) & kThreadBits) == 0;
    uint64_t stamp = cell >> 10 & 0xffffff;
    bool ownWarp = (cell >> 5 & 31) == warp && (cell >> 61 & 3) < uint64_t(Many::Warps);
    bool before = ((cell >> 34 & 0xfffff) == block) & ((cell >> 61 & 3) != uint64_t(Many::Blocks)) & (stamp < (ownWarp ? ownFloor : floor));
    return isVoid | same | before;
  }
  static constexpr uint64_t kThreadBits = 3ull << 61 | 0x3ffull | 0x7ffffffull << 34; // lane, warp, block, epoch, many
};

/// The reader's cell after a read by `mine` of a granule that others have read since the last synchronisation.
inline uint64_t joinedReader(uint64_t known, uint64_t mine) {
  uint64_t many = known >> 61 & 3;
  uint64_t level = ((known ^ mine) >> 34 & 0xfffff) ? 3 : ((known ^ mine) >> 5 & 31) ? 2 : 1;
  return (mine & ~(3ull << 61)) | std::max(many, level) << 61;
}

/// The whole access in one look, true when that was enough. Not while parts of the block are synchronised with each other (`partial`).
inline bool checkRacesQuickly(Warp& warp, const Instr& in, const Access& access, AccessKind kind, uint32_t bytes, bool global) {
  Cta& cta = *warp.cta;
  int shift = global ? cta.launch->globalShift : cta.launch->sharedShift;
  if (cta.partial || in.ordered || kind == AccessKind::Atomic || bytes > 16)
    return false;
  RaceChecker checker(warp, global);
  const uint64_t first = checker.make(0).bits;
  Harmless harmless(checker, Cell{first});
  uint64_t* writers = reinterpret_cast<uint64_t*>(global ? cta.launch->memory->writers(0) : cta.sharedWriters.data());
  uint64_t* readers = reinterpret_cast<uint64_t*>(global ? cta.launch->memory->readers(0) : cta.sharedReader.data());
  uint64_t base = global ? kGlobalBase : 0;
  uint32_t cells = bytes >> shift; // of one lane
  if (access.shape == Shape::Contiguous) {
    uint64_t* writer = writers + ((access.address[0] - base) >> shift);
    uint64_t* reader = readers + ((access.address[0] - base) >> shift);
    uint64_t bad = 0;
    if (cells == 1) {
      if (kind == AccessKind::Read) {
        for (uint64_t lane = 0; lane < kLanes; ++lane)
          bad |= uint64_t(!harmless(writer[lane], first | lane));
        if (settled(bad))
          return false;
        MOEC_EACH_LANE {
          uint64_t mine = first | uint64_t(lane), known = reader[lane];
          reader[lane] = harmless(known, mine) ? mine : joinedReader(known, mine);
        }
        return true;
      }
      for (uint64_t lane = 0; lane < kLanes; ++lane)
        bad |= uint64_t(!harmless(writer[lane], first | lane)) | uint64_t(!harmless(reader[lane], first | lane));
      if (settled(bad))
        return false;
      for (uint64_t lane = 0; lane < kLanes; ++lane)
        writer[lane] = first | lane;
      return true;
    }
  }
  if (access.shape == Shape::Uniform && kind == AccessKind::Read && (access.mask & (access.mask - 1))) {
    for (uint32_t i = 0; i < cells; ++i) {
      uint64_t at = ((access.address[0] - base) >> shift) + i;
      uint64_t nobody = first ^ 1ull << 54; // of another epoch: equal to no cell that counts
      if (!harmless(writers[at], nobody))
        return false;
      uint64_t lanes = first | uint64_t(Many::Lanes) << 61, known = readers[at];
      readers[at] = harmless(known, nobody) ? lanes : joinedReader(known, lanes);
    }
    return true;
  }
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    uint64_t lane = uint64_t(std::countr_zero(rest)), mine = first | lane;
    uint64_t at = (access.address[lane] - base) >> shift;
    for (uint64_t i = at; i < at + cells; ++i) {
      if (!harmless(writers[i], mine) || (kind == AccessKind::Write && !harmless(readers[i], mine)))
        return false; // what was done so far is done again, to the same effect
      if (kind == AccessKind::Write)
        writers[i] = mine;
      else
        readers[i] = harmless(readers[i], mine) ? mine : joinedReader(readers[i], mine);
    }
  }
  return true;
}

} // namespace moec::emulator::MOEC_LANES
