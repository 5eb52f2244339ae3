// Every access of a warp to global, shared or local memory goes through resolve(): bounds, alignment, written bytes, races, counters.

#include "runtime/emulator/machine/Warp.h"

#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace moec::emulator {
namespace {

uint32_t lanesOutside(const Access& access, uint64_t begin, uint64_t end, uint32_t bytes) {
  uint32_t bad = 0;
  uint64_t last = end - bytes; // end >= begin + bytes is the caller's business
  for (int lane = 0; lane < kLanes; ++lane)
    bad |= uint32_t((access.address[lane] < begin) | (access.address[lane] > last)) << lane;
  return bad;
}

uint32_t lanesMisaligned(const Access& access, uint32_t bytes) {
  uint32_t bad = 0;
  for (int lane = 0; lane < kLanes; ++lane)
    bad |= uint32_t((access.address[lane] & (bytes - 1)) != 0) << lane;
  return bad;
}

bool allWritten(const uint8_t* written, uint32_t bytes, uint64_t used) {
  if (used == ~0ull) {
    if (bytes == 4) {
      uint32_t word;
      std::memcpy(&word, written, 4);
      return word == 0x01010101;
    }
    for (uint32_t i = 0; i < bytes; ++i)
      if (!written[i])
        return false;
    return true;
  }
  for (uint32_t i = 0; i < bytes; ++i)
    if ((used >> i & 1) && !written[i])
      return false;
  return true;
}

/// access.address is base + lane * bytes for all 32 lanes.
bool contiguous(const Access& access, uint32_t bytes) {
  uint64_t differs = 0;
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    differs |= access.address[lane] ^ (access.address[0] + lane * bytes);
  return differs == 0;
}

void countSectors(Warp& warp, const Access& access, uint32_t bytes) {
  Worker& worker = *warp.cta->worker;
  uint32_t lanes = uint32_t(std::popcount(access.mask));
  uint64_t sectors = 0;
  if (access.mask == ~0u && contiguous(access, bytes)) {
    sectors = ((access.address[31] + bytes - 1) >> 5) - (access.address[0] >> 5) + 1;
  } else {
    uint64_t seen[256] = {}; // open addressing by sector; at most 64 different ones
    for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
      uint64_t address = access.address[std::countr_zero(rest)];
      for (uint64_t sector = address >> 5, last = (address + bytes - 1) >> 5; sector <= last; ++sector) {
        uint32_t slot = sector & 255;
        while (seen[slot] && seen[slot] != sector)
          slot = (slot + 1) & 255;
        sectors += !seen[slot];
        seen[slot] = sector;
      }
    }
  }
  worker.sectors[warp.pc] += sectors;
  worker.ideal[warp.pc] += std::min<uint64_t>(sectors, (uint64_t(lanes) * bytes + 31) / 32);
  worker.bytes[warp.pc] += uint64_t(lanes) * bytes;
}

/// Passes over the 32 banks of 4 bytes; 8- and 16-byte accesses go in halves and quarters of a warp.
void countWavefronts(Warp& warp, const Access& access, uint32_t bytes) {
  Worker& worker = *warp.cta->worker;
  worker.bytes[warp.pc] += uint64_t(std::popcount(access.mask)) * bytes;
  uint32_t passes = bytes <= 4 ? 1 : bytes / 4, lanesPerPass = kLanes / passes;
  if (contiguous(access, bytes) && bytes >= 4) {
    worker.wavefronts[warp.pc] += passes;
    worker.idealWavefronts[warp.pc] += passes;
    return;
  }
  for (uint32_t pass = 0; pass < passes; ++pass) {
    uint32_t words[kLanes][kLanes];
    uint8_t depth[kLanes] = {};
    uint32_t most = 0;
    uint32_t rest = access.mask & ((lanesPerPass == 32 ? ~0u : (1u << lanesPerPass) - 1) << (pass * lanesPerPass));
    if (!rest)
      continue;
    for (; rest; rest &= rest - 1) {
      uint64_t address = access.address[std::countr_zero(rest)];
      for (uint32_t word = uint32_t(address >> 2), last = uint32_t((address + bytes - 1) >> 2); word <= last; ++word) {
        uint32_t bank = word & 31, i = 0;
        while (i < depth[bank] && words[bank][i] != word)
          ++i;
        if (i == depth[bank]) {
          words[bank][depth[bank]++] = word;
          most = std::max<uint32_t>(most, depth[bank]);
        }
      }
    }
    worker.wavefronts[warp.pc] += most;
    worker.idealWavefronts[warp.pc] += 1;
  }
}

std::string whoText(const Launch& launch, Cell cell, bool global) {
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

void checkRaces(Warp& warp, const Instr& in, Access& access, AccessKind kind, uint32_t bytes, const uint8_t* stored, bool global) {
  Cta& cta = *warp.cta;
  RaceChecker checker(warp, global);
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
        const uint8_t* mine = stored + lane * 16;
        uint32_t sibling = other.lane();
        if (other.warp() == warp.index && other.block() == checker.make(lane).block() && (access.mask >> sibling & 1) &&
            access.address[sibling] == access.address[lane])
          return std::memcmp(mine, stored + sibling * 16, bytes) == 0;
        return std::memcmp(mine, access.host[lane], bytes) == 0;
      };
      checker.write(in, lane, writer, reader, readers, kind == AccessKind::Atomic || in.ordered, same);
    }
  }
}

void checkWritten(Warp& warp, Access& access, uint32_t bytes, auto&& where) {
  uint64_t used = warp.cta->launch->program->info[warp.pc].usedBytes;
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    if (!allWritten(access.written[lane], bytes, used))
      warp.cta->launch->report(warp, Finding::Kind::Uninitialised, lane,
                               fmt::format("reads {} bytes never written: {}", bytes, where(lane)));
  }
}

void rejectMisaligned(Warp& warp, Access& access, uint32_t bytes) {
  uint32_t bad = lanesMisaligned(access, bytes) & access.mask;
  if (!bad)
    return;
  for (uint32_t rest = bad; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    warp.cta->launch->report(warp, Finding::Kind::Misaligned, lane,
                             fmt::format("address {:#x} of an access of {} bytes", access.address[lane], bytes));
  }
  access.mask &= ~bad;
}

void resolveGlobal(Warp& warp, const Instr& in, Access& access, AccessKind kind, uint32_t bytes, const uint8_t* stored) {
  Launch& launch = *warp.cta->launch;
  Memory& memory = *launch.memory;
  bool checks = launch.options->checks;
  bool written = checks, races = checks;
  const Bounds* bounds = in.bounds == kNowhere ? nullptr : &launch.bounds[in.bounds];
  if (bounds && bounds->begin && bounds->end - bounds->begin >= bytes) {
    uint32_t bad = lanesOutside(access, bounds->begin, bounds->end, bytes) & access.mask;
    for (uint32_t rest = bad; rest; rest &= rest - 1) {
      uint32_t lane = uint32_t(std::countr_zero(rest));
      launch.report(warp, Finding::Kind::OutOfBounds, lane,
                    fmt::format("{} bytes at {:#x}, {}; the pointer belongs to buffer '{}' ({} bytes)", bytes, access.address[lane],
                                memory.describe(access.address[lane]), bounds->buffer->name, bounds->end - bounds->begin));
    }
    access.mask &= ~bad;
    written &= bounds->checkWritten;
    races &= bounds->checkRaces;
  } else {
    Buffer*& last = warp.cta->worker->last;
    for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
      uint32_t lane = uint32_t(std::countr_zero(rest));
      uint64_t address = access.address[lane];
      if (!last || address < last->begin || address + bytes > last->end) {
        Buffer* found = memory.find(address);
        if (!found || address + bytes > found->end) {
          launch.report(warp, Finding::Kind::OutOfBounds, lane,
                        fmt::format("{} bytes at {:#x}, {}", bytes, address, memory.describe(address)));
          access.mask &= ~(1u << lane);
          continue;
        }
        last = found;
      }
    }
  }
  rejectMisaligned(warp, access, bytes);
  uint8_t* host = memory.host(kGlobalBase);
  for (int lane = 0; lane < kLanes; ++lane)
    access.host[lane] = host + (access.address[lane] - kGlobalBase);
  if (launch.options->counters)
    countSectors(warp, access, bytes);
  uint8_t* shadow = memory.written(kGlobalBase);
  for (int lane = 0; lane < kLanes; ++lane)
    access.written[lane] = shadow + (access.address[lane] - kGlobalBase);
  if (written && kind != AccessKind::Write)
    checkWritten(warp, access, bytes, [&](uint32_t lane) { return memory.describe(access.address[lane]); });
  if (races)
    checkRaces(warp, in, access, kind, bytes, stored, true);
}

void resolveShared(Warp& warp, const Instr& in, Access& access, AccessKind kind, uint32_t bytes, const uint8_t* stored, bool generic) {
  Cta& cta = *warp.cta;
  Launch& launch = *cta.launch;
  if (generic)
    for (uint64_t& address : access.address)
      address -= kSharedBase;
  uint64_t begin = 0, end = launch.sharedBytes;
  if (in.bounds != kNowhere && launch.bounds[in.bounds].end) {
    begin = launch.bounds[in.bounds].begin;
    end = launch.bounds[in.bounds].end;
  }
  uint32_t bad = access.mask & (end - begin < bytes ? ~0u : lanesOutside(access, begin, end, bytes));
  for (uint32_t rest = bad; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    launch.report(warp, Finding::Kind::OutOfBounds, lane,
                  fmt::format("{} bytes of shared memory at {}, the variable lies at [{}, {})", bytes, int64_t(access.address[lane]), begin, end));
  }
  access.mask &= ~bad;
  rejectMisaligned(warp, access, bytes);
  for (int lane = 0; lane < kLanes; ++lane) {
    access.host[lane] = cta.shared.data() + access.address[lane];
    access.written[lane] = cta.sharedWritten.data() + access.address[lane];
  }
  if (launch.options->counters)
    countWavefronts(warp, access, bytes);
  if (!launch.options->checks)
    return;
  if (!cta.sharedPending.empty())
    for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
      uint32_t lane = uint32_t(std::countr_zero(rest));
      const uint8_t* pending = cta.sharedPending.data() + access.address[lane];
      if (std::memchr(pending, 1, bytes))
        launch.report(warp, Finding::Kind::PendingCopy, lane,
                      fmt::format("shared memory at {} is the destination of a cp.async that nobody has waited for", access.address[lane]));
    }
  if (kind != AccessKind::Write)
    checkWritten(warp, access, bytes, [&](uint32_t lane) { return fmt::format("shared memory at {}", access.address[lane]); });
  checkRaces(warp, in, access, kind, bytes, stored, false);
}

void resolveLocal(Warp& warp, const Instr& in, Access& access, AccessKind kind, uint32_t bytes, bool generic) {
  Cta& cta = *warp.cta;
  Launch& launch = *cta.launch;
  uint64_t frame = launch.program->localBytes;
  if (generic)
    for (uint64_t& address : access.address)
      address -= kLocalBase;
  uint64_t begin = 0, end = frame;
  if (in.bounds != kNowhere && launch.bounds[in.bounds].end) {
    begin = launch.bounds[in.bounds].begin;
    end = launch.bounds[in.bounds].end;
  }
  uint32_t bad = access.mask & (end - begin < bytes ? ~0u : lanesOutside(access, begin, end, bytes));
  for (uint32_t rest = bad; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    launch.report(warp, Finding::Kind::OutOfBounds, lane,
                  fmt::format("{} bytes of local memory at {}, the variable lies at [{}, {})", bytes, int64_t(access.address[lane]), begin, end));
  }
  access.mask &= ~bad;
  rejectMisaligned(warp, access, bytes);
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    uint64_t at = (uint64_t(warp.index) * kLanes + lane) * frame + access.address[lane];
    access.host[lane] = cta.local.data() + at;
    access.written[lane] = cta.localWritten.data() + at;
  }
  if (launch.options->checks && kind != AccessKind::Write)
    checkWritten(warp, access, bytes, [&](uint32_t lane) { return fmt::format("local memory at {}", access.address[lane]); });
}

Space spaceOf(uint64_t address) {
  if (address >= kSharedBase && address < kSharedBase + kWindow)
    return Space::Shared;
  if (address >= kLocalBase && address < kLocalBase + kWindow)
    return Space::Local;
  return Space::Global;
}

void resolveIn(Space space, bool generic, Warp& warp, const Instr& in, Access& access, AccessKind kind, uint32_t bytes, const uint8_t* stored) {
  if (space == Space::Shared)
    resolveShared(warp, in, access, kind, bytes, stored, generic);
  else if (space == Space::Local)
    resolveLocal(warp, in, access, kind, bytes, generic);
  else
    resolveGlobal(warp, in, access, kind, bytes, stored);
}

void resolveGeneric(Warp& warp, const Instr& in, Access& access, AccessKind kind, uint32_t bytes, const uint8_t* stored) {
  Access whole = access;
  uint32_t left = access.mask, kept = 0;
  while (left) {
    Space space = spaceOf(whole.address[std::countr_zero(left)]);
    uint32_t here = 0;
    for (uint32_t rest = left; rest; rest &= rest - 1) {
      uint32_t lane = uint32_t(std::countr_zero(rest));
      here |= uint32_t(spaceOf(whole.address[lane]) == space) << lane;
    }
    Access part = whole;
    part.mask = here;
    resolveIn(space, true, warp, in, part, kind, bytes, stored);
    for (uint32_t rest = here; rest; rest &= rest - 1) {
      uint32_t lane = uint32_t(std::countr_zero(rest));
      access.host[lane] = part.host[lane];
      access.written[lane] = part.written[lane];
    }
    kept |= part.mask;
    left &= ~here;
  }
  access.mask = kept;
}

} // namespace

void resolve(Warp& warp, const Instr& in, Access& access, AccessKind kind, uint32_t bytes, const uint8_t* stored) {
  access.mask = warp.mask;
  if (in.space == Space::Generic)
    resolveGeneric(warp, in, access, kind, bytes, stored);
  else
    resolveIn(in.space, false, warp, in, access, kind, bytes, stored);
}

void computeAddresses(Warp& warp, const Instr& in, uint32_t place, int64_t displacement, Access& access) {
  if (in.wideAddress) {
    const uint64_t* base = warp.at<uint64_t>(place);
    for (int lane = 0; lane < kLanes; ++lane)
      access.address[lane] = base[lane] + uint64_t(displacement);
  } else {
    const uint32_t* base = warp.at<uint32_t>(place);
    for (int lane = 0; lane < kLanes; ++lane)
      access.address[lane] = uint32_t(base[lane] + uint32_t(displacement));
  }
}

} // namespace moec::emulator
