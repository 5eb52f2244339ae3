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
    if (other.many() == Many::Warps && !cta.partial)
      return other.stamp() < cta.floor; // a barrier of the last one's warp orders the others' reads with nothing
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

constexpr uint64_t kOtherEpoch = 1ull << 54; // flipped in a cell: nobody's, equal to no cell that counts

/// The reader's cell after a read by `mine` of a granule that others have read since the last synchronisation.
inline uint64_t joinedReader(uint64_t known, uint64_t mine) {
  uint64_t many = known >> 61 & 3;
  uint64_t level = ((known ^ mine) >> 34 & 0xfffff) ? 3 : ((known ^ mine) >> 5 & 31) ? 2 : 1;
  return (mine & ~(3ull << 61)) | std::max(many, level) << 61;
}

/// The highest of the values of the slots that an access touches, each by `value`.
template <class F> inline uint32_t highestOf(const std::vector<uint32_t>& slots, const Access& access, uint32_t bytes, F&& value) {
  uint32_t highest = 0;
  if (access.shape == Shape::Uniform)
    return value(slots[access.address[0] >> SharedSlots::kShift]);
  if (access.shape == Shape::Contiguous) {
    for (uint64_t slot = access.address[0] >> SharedSlots::kShift; slot <= (access.address[0] + kLanes * bytes - 1) >> SharedSlots::kShift; ++slot)
      highest = std::max(highest, value(slots[slot]));
    return highest;
  }
  for (int lane = 0; lane < kLanes; ++lane) // lanes that do not run have the address of one that does
    highest = std::max(highest, value(slots[access.address[lane] >> SharedSlots::kShift]));
  return highest;
}

inline void noteRead(Warp& warp, const Access& access, uint32_t bytes) {
  Cta& cta = *warp.cta;
  SharedSlots& slots = cta.slots;
  if (slots.full())
    settleReads(cta);
  NotedRead& read = slots.note();
  read.mask = access.mask;
  read.stamp = cta.stamp;
  read.warp = uint8_t(warp.index);
  read.bytes = uint8_t(bytes);
  read.shape = access.shape;
  read.address[0] = uint32_t(access.address[0]);
  if (access.shape == Shape::Uniform) {
    slots.read[read.address[0] >> SharedSlots::kShift] = cta.stamp;
  } else if (access.shape == Shape::Contiguous) {
    for (uint32_t slot = read.address[0] >> SharedSlots::kShift; slot <= (read.address[0] + kLanes * bytes - 1) >> SharedSlots::kShift; ++slot)
      slots.read[slot] = cta.stamp;
  } else {
    for (int lane = 0; lane < kLanes; ++lane)
      read.address[lane] = uint32_t(access.address[lane]);
    for (int lane = 0; lane < kLanes; ++lane)
      slots.read[read.address[lane] >> SharedSlots::kShift] = cta.stamp;
  }
}

/// Whether every read of this access is ordered after the last write. Lanes that read the same place are nobody in particular.
inline bool writersHarmless(const Access& access, uint32_t bytes, const uint64_t* writers, int shift, const Harmless& harmless, uint64_t first) {
  uint32_t cells = bytes >> shift;
  if (access.shape == Shape::Uniform && (access.mask & (access.mask - 1))) {
    for (uint64_t i = access.address[0] >> shift, end = i + cells; i < end; ++i)
      if (!harmless(writers[i], first ^ kOtherEpoch))
        return false;
    return true;
  }
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    uint64_t lane = uint64_t(std::countr_zero(rest));
    for (uint64_t i = access.address[lane] >> shift, end = i + cells; i < end; ++i)
      if (!harmless(writers[i], first | lane))
        return false;
  }
  return true;
}

/// The lanes that touch the destination of an asynchronous copy under way.
inline uint32_t lanesPending(const Cta& cta, const Access& access, uint32_t bytes) {
  uint32_t bad = 0;
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    bad |= uint32_t(std::memchr(cta.sharedPending.data() + access.address[lane], 1, bytes) != nullptr) << lane;
  }
  return bad;
}

/// A first look at an access to shared memory, by its slots; true when that was enough for bytes never written, copies under way and races.
/// When it was not, the block's cells are as a closer look needs them.
inline bool checkSlots(Warp& warp, const Instr& in, const Access& access, AccessKind kind, uint32_t bytes, const Pattern& pattern) {
  Cta& cta = *warp.cta;
  SharedSlots& slots = cta.slots;
  if (cta.partial)
    return false;
  if (in.ordered || kind == AccessKind::Atomic || bytes > 16) {
    settleReads(cta);
    return false;
  }
  uint32_t limit = SharedSlots::limit(cta.floor);
  auto state = [](uint32_t slot) { return slot; };
  if (kind == AccessKind::Read) {
    if (highestOf(slots.written, access, bytes, state) >= limit)
      return false;
    noteRead(warp, access, bytes);
    return true;
  }
  if (highestOf(slots.read, access, bytes, state) >= limit) {
    settleReads(cta);
    return false;
  }
  if (!pattern.apart || highestOf(slots.written, access, bytes, [](uint32_t slot) { return slot & ~SharedSlots::kUnready; }) >= limit)
    return false;
  if (!cta.sharedPending.empty() && highestOf(slots.written, access, bytes, state) >= SharedSlots::kUnready && lanesPending(cta, access, bytes))
    return false;
  uint64_t first = RaceChecker(warp, false).make(0).bits;
  uint64_t* writers = reinterpret_cast<uint64_t*>(cta.sharedWriters.data());
  int shift = cta.launch->sharedShift;
  uint32_t cells = bytes >> shift;
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    uint64_t lane = uint64_t(std::countr_zero(rest));
    for (uint64_t i = access.address[lane] >> shift, end = i + cells; i < end; ++i)
      writers[i] = first | lane;
  }
  return true;
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
  uint32_t cells = std::max(1u, bytes >> shift); // of one lane; a look at one byte is a look at its cell
  if (!global && kind == AccessKind::Read) {
    if (writersHarmless(access, bytes, writers, shift, harmless, first)) {
      noteRead(warp, access, bytes);
      return true;
    }
    settleReads(cta);
    return false;
  }
  if (access.shape == Shape::Contiguous) {
    uint64_t* writer = writers + ((access.address[0] - base) >> shift);
    uint64_t* reader = readers + ((access.address[0] - base) >> shift);
    uint64_t bad = 0, count = kLanes * uint64_t(cells);
    int perLane = std::countr_zero(cells);
    if (kind == AccessKind::Read) {
      for (uint64_t i = 0; i < count; ++i)
        bad |= uint64_t(!harmless(writer[i], first | i >> perLane));
      if (settled(bad))
        return false;
      for (uint64_t i = 0; i < count; ++i) {
        uint64_t mine = first | i >> perLane, known = reader[i];
        reader[i] = harmless(known, mine) ? mine : joinedReader(known, mine);
      }
      return true;
    }
    for (uint64_t i = 0; i < count; ++i)
      bad |= uint64_t(!harmless(writer[i], first | i >> perLane)) | uint64_t(!harmless(reader[i], first | i >> perLane));
    if (settled(bad))
      return false;
    for (uint64_t i = 0; i < count; ++i)
      writer[i] = first | i >> perLane;
    return true;
  }
  if (access.shape == Shape::Uniform && kind == AccessKind::Read && (access.mask & (access.mask - 1))) {
    for (uint32_t i = 0; i < cells; ++i) {
      uint64_t at = ((access.address[0] - base) >> shift) + i;
      uint64_t nobody = first ^ kOtherEpoch;
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
