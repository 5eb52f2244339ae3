// Every access of a warp to global, shared or local memory goes through resolve(): bounds, alignment, written bytes, races, counters.

#include "runtime/emulator/ops/RaceCheck.h"

#include <algorithm>

namespace moec::emulator::MOEC_LANES {
namespace {

/// What one kind of memory is for this access.
struct Place {
  Space space;
  uint64_t begin, end;      // addresses the instruction may touch; 0, 0: ask the list of buffers
  uint8_t *bytes, *written; // of address 0
  uint64_t laneStride = 0;
  bool checkWritten, checkRaces, markWritten;
};

/// What there is to know of the addresses of an access that lie another way than before.
void learn(Pattern& pattern, const Access& access, uint32_t bytes, bool writes) {
  uint64_t first = access.address[std::countr_zero(access.mask)];
  uint64_t any = 0, scattered = access.mask != ~0u;
  pattern.lowest = pattern.highest = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    uint64_t delta = access.address[lane] - first;
    pattern.delta[lane] = delta;
    pattern.lowest = std::min(pattern.lowest, int64_t(delta));
    pattern.highest = std::max(pattern.highest, int64_t(delta));
    any |= delta;
    scattered |= delta ^ uint64_t(lane) * bytes;
  }
  pattern.mask = access.mask;
  pattern.bytes = bytes;
  pattern.shape = !any ? Shape::Uniform : !scattered ? Shape::Contiguous : Shape::Scattered;
  pattern.aligned = !(any & (bytes - 1));
  pattern.apart = pattern.shape == Shape::Contiguous || !(access.mask & (access.mask - 1));
  if (writes && !pattern.apart && pattern.shape == Shape::Scattered) {
    uint64_t sorted[kLanes];
    int count = 0;
    for (uint32_t rest = access.mask; rest; rest &= rest - 1)
      sorted[count++] = access.address[std::countr_zero(rest)];
    std::sort(sorted, sorted + count);
    pattern.apart = true;
    for (int i = 1; i < count; ++i)
      pattern.apart &= sorted[i] - sorted[i - 1] >= bytes;
  }
  std::fill(std::begin(pattern.sectors), std::end(pattern.sectors), 0);
  pattern.wavefronts = 0;
}

bool fitsPattern(const Pattern& pattern, const Access& access, uint64_t first, uint32_t bytes) {
  uint64_t different = (pattern.mask ^ access.mask) | (pattern.bytes ^ bytes);
  for (int lane = 0; lane < kLanes; ++lane)
    different |= (access.address[lane] - first) ^ pattern.delta[lane];
  return !settled(different);
}

/// How the lanes' addresses lie. Lanes that do not run get the address of one that does, so that nobody need look at the mask.
Pattern& patternOf(Warp& warp, const Instr& in, Access& access, uint32_t bytes, bool writes) {
  Patterns& known = warp.cta->worker->patterns[in.bounds];
  uint64_t first = access.address[std::countr_zero(access.mask)];
  if (access.mask != ~0u)
    for (int lane = 0; lane < kLanes; ++lane)
      access.address[lane] = (access.mask >> lane & 1) ? access.address[lane] : first;
  uint32_t way = known.last;
  for (uint32_t tried = 0; !fitsPattern(known.ways[way], access, first, bytes);) {
    if (++tried == Patterns::kWays) {
      way = known.oldest++ % Patterns::kWays;
      learn(known.ways[way], access, bytes, writes);
      break;
    }
    way = (way + 1) % Patterns::kWays;
  }
  known.last = way;
  access.shape = known.ways[way].shape;
  return known.ways[way];
}

uint32_t lanesOutside(const Access& access, uint64_t begin, uint64_t end, uint32_t bytes) {
  if (end - begin < bytes)
    return ~0u;
  uint32_t bad = 0;
  uint64_t room = end - bytes - begin;
  for (int lane = 0; lane < kLanes; ++lane)
    bad |= uint32_t(access.address[lane] - begin > room) << lane;
  return bad;
}
uint32_t lanesMisaligned(const Access& access, uint32_t bytes) {
  uint32_t bad = 0;
  for (int lane = 0; lane < kLanes; ++lane)
    bad |= uint32_t((access.address[lane] & (bytes - 1)) != 0) << lane;
  return bad;
}

void drop(Access& access, uint32_t bad) {
  access.mask &= ~bad;
  access.shape = Shape::Scattered; // with no lane left, nothing may be moved as a whole
}

void rejectOutside(Warp& warp, const Instr& in, Access& access, uint32_t bytes, uint32_t bad, const Place& place) {
  Launch& launch = *warp.cta->launch;
  for (uint32_t rest = bad; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    uint64_t address = access.address[lane];
    std::string text;
    if (place.space == Space::Global) {
      text = fmt::format("{} bytes at {:#x}, {}", bytes, address, launch.memory->describe(address));
      const std::vector<Buffer*>& allowed = launch.bounds[in.bounds].buffers;
      for (const Buffer* buffer : allowed)
        text += fmt::format("{} buffer '{}' ({} bytes)", buffer == allowed[0] ? "; the pointer belongs to" : " or", buffer->name, buffer->end - buffer->begin);
    } else {
      text = fmt::format("{} bytes of {} memory at {}, the variable lies at [{}, {})", bytes, nameOf(place.space), int64_t(address), place.begin, place.end);
    }
    launch.report(warp, Finding::Kind::OutOfBounds, lane, text);
  }
  drop(access, bad);
}

/// With more than one buffer that it may be, or any: each lane's address is looked up.
uint32_t lanesOutsideAll(Warp& warp, const Instr& in, const Access& access, uint32_t bytes) {
  Buffer*& last = warp.cta->worker->last;
  const std::vector<Buffer*>& allowed = warp.cta->launch->bounds[in.bounds].buffers;
  uint32_t bad = 0;
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    uint64_t address = access.address[lane];
    auto holds = [&](const Buffer* buffer) { return buffer && address >= buffer->begin && address + bytes <= buffer->end; };
    if (!allowed.empty()) {
      bad |= uint32_t(std::none_of(allowed.begin(), allowed.end(), holds)) << lane;
    } else if (!holds(last)) {
      if (Buffer* found = warp.cta->launch->memory->find(address); holds(found))
        last = found;
      else
        bad |= 1u << lane;
    }
  }
  return bad;
}

void rejectMisaligned(Warp& warp, Access& access, uint32_t bytes, uint32_t bad) {
  for (uint32_t rest = bad; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    warp.cta->launch->report(warp, Finding::Kind::Misaligned, lane, fmt::format("address {:#x} of an access of {} bytes", access.address[lane], bytes));
  }
  drop(access, bad);
}

uint32_t sectorsOf(const Access& access, uint32_t bytes) {
  uint32_t sectors = 0;
  uint64_t seen[128] = {}; // open addressing by sector; at most 64 different ones
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    uint64_t address = access.address[std::countr_zero(rest)];
    for (uint64_t sector = address >> 5, last = (address + bytes - 1) >> 5; sector <= last; ++sector) {
      uint32_t slot = sector & 127;
      while (seen[slot] && seen[slot] != sector)
        slot = (slot + 1) & 127;
      sectors += !seen[slot];
      seen[slot] = sector;
    }
  }
  return sectors;
}

void countSectors(Warp& warp, const Access& access, uint32_t bytes, Pattern& pattern) {
  Worker& worker = *warp.cta->worker;
  uint32_t lanes = uint32_t(std::popcount(access.mask));
  uint64_t first = access.address[std::countr_zero(access.mask)], sectors;
  if (access.shape == Shape::Contiguous) {
    sectors = ((first + kLanes * bytes - 1) >> 5) - (first >> 5) + 1;
  } else if (access.shape == Shape::Uniform) {
    sectors = ((first + bytes - 1) >> 5) - (first >> 5) + 1;
  } else if (bytes < 4) {
    sectors = sectorsOf(access, bytes);
  } else {
    uint8_t& known = pattern.sectors[first >> 2 & 7];
    if (!known)
      known = uint8_t(sectorsOf(access, bytes));
    sectors = known;
  }
  worker.sectors[warp.pc] += sectors;
  worker.ideal[warp.pc] += std::min<uint64_t>(sectors, (uint64_t(lanes) * bytes + 31) / 32);
  worker.bytes[warp.pc] += uint64_t(lanes) * bytes;
}

/// Passes over the 32 banks of 4 bytes; 8- and 16-byte accesses go in halves and quarters of a warp.
void findWavefronts(const Access& access, uint32_t bytes, Pattern& pattern) {
  uint32_t passes = bytes <= 4 ? 1 : bytes / 4, lanesPerPass = kLanes / passes;
  if (access.shape == Shape::Uniform || (access.shape == Shape::Contiguous && bytes >= 4)) {
    pattern.wavefronts = pattern.idealWavefronts = passes;
    return;
  }
  pattern.wavefronts = pattern.idealWavefronts = 0;
  for (uint32_t pass = 0; pass < passes; ++pass) {
    uint32_t rest = access.mask & ((lanesPerPass == 32 ? ~0u : (1u << lanesPerPass) - 1) << (pass * lanesPerPass));
    if (!rest)
      continue;
    uint32_t words[kLanes], at[kLanes][kLanes], most = 0; // the first word of each bank; the others, if any
    uint8_t depth[kLanes] = {};
    for (; rest; rest &= rest - 1) {
      uint64_t address = access.address[std::countr_zero(rest)];
      for (uint32_t word = uint32_t(address >> 2), last = uint32_t((address + bytes - 1) >> 2); word <= last; ++word) {
        uint32_t bank = word & 31, n = depth[bank];
        if (n == 0) {
          words[bank] = word;
          depth[bank] = 1;
          most = std::max(most, 1u);
          continue;
        }
        if (words[bank] == word)
          continue;
        uint32_t i = 1;
        while (i < n && at[bank][i] != word)
          ++i;
        if (i == n) {
          at[bank][depth[bank]++] = word;
          most = std::max<uint32_t>(most, depth[bank]);
        }
      }
    }
    pattern.wavefronts += most;
    pattern.idealWavefronts += 1;
  }
}

void countWavefronts(Warp& warp, const Access& access, uint32_t bytes, Pattern& pattern) {
  if (!pattern.wavefronts || bytes < 4) // shifted by whole words, the same banks meet
    findWavefronts(access, bytes, pattern);
  Worker& worker = *warp.cta->worker;
  worker.wavefronts[warp.pc] += pattern.wavefronts;
  worker.idealWavefronts[warp.pc] += pattern.idealWavefronts;
  worker.bytes[warp.pc] += uint64_t(std::popcount(access.mask)) * bytes;
}

bool allOnes(const uint8_t* written, uint64_t bytes) {
  uint64_t all = 0x0101010101010101;
  uint64_t i = 0;
  for (; i + 8 <= bytes; i += 8) {
    uint64_t word;
    std::memcpy(&word, written + i, 8);
    all &= word;
  }
  uint8_t rest = 1;
  for (; i < bytes; ++i)
    rest &= written[i];
  return all == 0x0101010101010101 && rest;
}

uint32_t lanesUnwritten(const Access& access, uint32_t bytes, const Place& place, uint64_t used) {
  const uint8_t* written = place.written;
  if (used == ~0ull && access.shape == Shape::Contiguous && allOnes(written + access.address[0], uint64_t(kLanes) * bytes))
    return 0;
  if (used == ~0ull && access.shape == Shape::Uniform && place.laneStride == 0 && allOnes(written + access.address[0], bytes))
    return 0;
  uint32_t bad = 0;
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    const uint8_t* at = written + access.address[lane] + lane * place.laneStride;
    bool good = true;
    if (bytes == 4) {
      uint32_t word;
      std::memcpy(&word, at, 4);
      good = word == 0x01010101;
    } else if (used == ~0ull) {
      good = allOnes(at, bytes);
    } else {
      for (uint32_t i = 0; i < bytes; ++i)
        good &= !(used >> i & 1) || at[i];
    }
    bad |= uint32_t(!good) << lane;
  }
  return bad;
}

void checkWritten(Warp& warp, const Access& access, uint32_t bytes, const Place& place) {
  uint32_t bad = lanesUnwritten(access, bytes, place, warp.cta->launch->program->info[warp.pc].usedBytes);
  for (uint32_t rest = bad; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    std::string where = place.space == Space::Global ? warp.cta->launch->memory->describe(access.address[lane])
                                                     : fmt::format("{} memory at {}", nameOf(place.space), access.address[lane]);
    warp.cta->launch->report(warp, Finding::Kind::Uninitialised, lane, fmt::format("reads {} bytes never written: {}", bytes, where));
  }
}

void markWritten(const Access& access, uint32_t bytes, const Place& place) {
  if (access.shape == Shape::Contiguous) {
    std::memset(place.written + access.address[0], 1, uint64_t(kLanes) * bytes);
    return;
  }
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    uint8_t* at = place.written + access.address[lane] + lane * place.laneStride;
    for (uint32_t i = 0; i < bytes; ++i)
      at[i] = 1;
  }
}

/// Of a block's shared memory: the bytes, which an atomic finds written, and the slots.
void noteWritten(Warp& warp, const Access& access, AccessKind kind, uint32_t bytes, const Place& place) {
  if (kind == AccessKind::Write)
    markWritten(access, bytes, place);
  if (access.shape == Shape::Contiguous)
    return refreshSlots(*warp.cta, access.address[0], access.address[0] + kLanes * bytes);
  for (uint32_t rest = access.mask; rest; rest &= rest - 1) {
    uint64_t address = access.address[std::countr_zero(rest)];
    refreshSlots(*warp.cta, address, address + bytes);
  }
}

void checkPending(Warp& warp, const Access& access, uint32_t bytes) {
  for (uint32_t rest = lanesPending(*warp.cta, access, bytes); rest; rest &= rest - 1) {
    uint32_t lane = uint32_t(std::countr_zero(rest));
    warp.cta->launch->report(warp, Finding::Kind::PendingCopy, lane,
                             fmt::format("shared memory at {} is the destination of a cp.async that nobody has waited for", access.address[lane]));
  }
}

Place placeOf(Warp& warp, const Instr& in, Space space) {
  Cta& cta = *warp.cta;
  Launch& launch = *cta.launch;
  bool checks = launch.options->checks;
  const Bounds* bounds = in.bounds == kNowhere ? nullptr : &launch.bounds[in.bounds];
  if (space == Space::Shared || space == Space::Local) {
    bool shared = space == Space::Shared;
    bool known = bounds && bounds->end && in.space == space;
    uint64_t frame = launch.program->localBytes, whole = shared ? launch.sharedBytes : frame, thread = uint64_t(warp.index) * kLanes * frame;
    return {space,
            known ? bounds->begin : 0,
            known ? bounds->end : whole,
            shared ? cta.shared.data() : cta.local.data() + thread,
            shared ? cta.sharedWritten.data() : cta.localWritten.data() + thread,
            shared ? 0 : frame,
            checks,
            checks && shared,
            true};
  }
  uint8_t *bytes = launch.memory->host(kGlobalBase) - kGlobalBase, *written = launch.memory->written(kGlobalBase) - kGlobalBase;
  if (bounds && !bounds->buffers.empty())
    return {space, bounds->begin, bounds->end, bytes, written, 0, bounds->checkWritten, bounds->checkRaces, bounds->checkWritten || !checks};
  return {space, 0, 0, bytes, written, 0, checks, checks, true};
}

/// The lanes whose bytes the instruction may not touch.
uint32_t lanesOutside(Warp& warp, const Instr& in, const Access& access, uint32_t bytes, const Place& place, const Pattern& pattern) {
  uint64_t first = access.address[std::countr_zero(access.mask)], lowest = first + uint64_t(pattern.lowest), end = first + uint64_t(pattern.highest) + bytes;
  bool far = uint64_t(pattern.highest) - uint64_t(pattern.lowest) > kWindow; // such sums say nothing
  auto within = [&](const Buffer* buffer) { return !far && buffer && lowest >= buffer->begin && end <= buffer->end && lowest < end; };
  if (place.space == Space::Global && !place.begin) {
    const std::vector<Buffer*>& allowed = warp.cta->launch->bounds[in.bounds].buffers;
    bool good = allowed.empty() ? within(warp.cta->worker->last) : std::any_of(allowed.begin(), allowed.end(), within);
    return good ? 0 : lanesOutsideAll(warp, in, access, bytes);
  }
  return !far && lowest >= place.begin && end <= place.end && lowest < end ? 0 : lanesOutside(access, place.begin, place.end, bytes) & access.mask;
}

void resolveIn(Warp& warp, const Instr& in, Access& access, const Place& place, AccessKind kind, uint32_t bytes, StoredValues stored) {
  Launch& launch = *warp.cta->launch;
  access.base = place.bytes;
  access.laneStride = place.laneStride;
  Pattern* pattern = &patternOf(warp, in, access, bytes, kind == AccessKind::Write);
  if (uint32_t bad = lanesOutside(warp, in, access, bytes, place, *pattern)) {
    rejectOutside(warp, in, access, bytes, bad, place);
    if (!access.mask)
      return;
    pattern = &patternOf(warp, in, access, bytes, kind == AccessKind::Write);
  }
  if (!pattern->aligned || (access.address[0] & (bytes - 1)))
    if (uint32_t bad = lanesMisaligned(access, bytes) & access.mask) {
      rejectMisaligned(warp, access, bytes, bad);
      if (!access.mask)
        return;
      pattern = &patternOf(warp, in, access, bytes, kind == AccessKind::Write);
    }
  if (launch.options->counters && place.space != Space::Local)
    place.space == Space::Global ? countSectors(warp, access, bytes, *pattern) : countWavefronts(warp, access, bytes, *pattern);
  if (place.space == Space::Shared && place.checkRaces) {
    if (checkSlots(warp, in, access, kind, bytes, *pattern)) {
      if (kind == AccessKind::Write)
        noteWritten(warp, access, kind, bytes, place);
      return;
    }
    if (!warp.cta->sharedPending.empty())
      checkPending(warp, access, bytes);
  }
  if (place.checkWritten && kind != AccessKind::Write)
    checkWritten(warp, access, bytes, place);
  if (place.checkRaces && !checkRacesQuickly(warp, in, access, kind, bytes, place.space == Space::Global))
    checkRacesSlowly(warp, in, access, kind, bytes, stored, place.space == Space::Global);
  if (place.space == Space::Shared && place.checkRaces && kind != AccessKind::Read)
    noteWritten(warp, access, kind, bytes, place);
  else if (kind == AccessKind::Write && place.markWritten)
    markWritten(access, bytes, place);
}

Space spaceOf(uint64_t address) {
  if (address >= kSharedBase && address < kSharedBase + kWindow)
    return Space::Shared;
  if (address >= kLocalBase && address < kLocalBase + kWindow)
    return Space::Local;
  return Space::Global;
}

/// Generic addresses: the lanes of each space by themselves. The result has host addresses when there is more than one.
void resolveGeneric(Warp& warp, const Instr& in, Access& access, AccessKind kind, uint32_t bytes, StoredValues stored) {
  const Access whole = access;
  uint32_t left = access.mask, kept = 0;
  uint64_t host[kLanes] = {};
  while (left) {
    Space space = spaceOf(whole.address[std::countr_zero(left)]);
    uint64_t window = space == Space::Shared ? kSharedBase : space == Space::Local ? kLocalBase : 0;
    Access part = whole;
    part.mask = 0;
    for (uint32_t rest = left; rest; rest &= rest - 1) {
      int lane = std::countr_zero(rest);
      part.mask |= uint32_t(spaceOf(whole.address[lane]) == space) << lane;
    }
    left &= ~part.mask;
    bool only = part.mask == whole.mask;
    for (int lane = 0; lane < kLanes; ++lane)
      part.address[lane] -= window;
    resolveIn(warp, in, part, placeOf(warp, in, space), kind, bytes, stored);
    if (only) {
      access = part;
      return;
    }
    for (uint32_t rest = part.mask; rest; rest &= rest - 1) {
      int lane = std::countr_zero(rest);
      host[lane] = reinterpret_cast<uint64_t>(part.host(lane));
    }
    kept |= part.mask;
  }
  std::copy_n(host, kLanes, access.address);
  access.base = nullptr;
  access.laneStride = 0;
  access.mask = kept;
  access.shape = Shape::Scattered;
}

} // namespace

void resolve(Warp& warp, const Instr& in, Access& access, AccessKind kind, uint32_t bytes, StoredValues stored) {
  access.mask = warp.mask;
  if (in.space == Space::Generic)
    resolveGeneric(warp, in, access, kind, bytes, stored);
  else
    resolveIn(warp, in, access, placeOf(warp, in, in.space == Space::Const ? Space::Global : in.space), kind, bytes, stored);
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

} // namespace moec::emulator::MOEC_LANES
