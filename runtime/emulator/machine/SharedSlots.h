#pragma once
// A block's shared memory in slots of 16 bytes, for a first look at a whole access: what it may pass without a look at single bytes and cells
// (Races.h). Reads are only noted; they are sorted into the cells when somebody writes beside them, and forgotten when the whole block has
// synchronised. Not in use while parts of a block are synchronised with each other. Knows nothing of instructions.

#include <cstdint>
#include <vector>

namespace moec::emulator {

struct Cta;

/// How the addresses of a warp's lanes lie: all the same; one behind the other, all lanes running; any other way.
enum class Shape : uint8_t { Uniform, Contiguous, Scattered };

/// A read of shared memory by a warp. Of uniform and contiguous reads the first address is kept.
struct NotedRead {
  uint32_t address[32];
  uint32_t mask, stamp;
  uint8_t warp, bytes;
  Shape shape;
};

struct SharedSlots {
  static constexpr int kShift = 4;
  static constexpr uint32_t kUnready = 1u << 31; // not all bytes are written, or an asynchronous copy is under way
  static constexpr size_t kMostNoted = 4096;

  std::vector<uint32_t> written; // by slot: the stamp of the last write, 0 none; and kUnready
  std::vector<uint32_t> read;    // by slot: the stamp of the last noted read, 0 none
  std::vector<NotedRead> noted;  // room; the first `count` are in use
  size_t count = 0;

  void resize(size_t bytes) {
    written.resize((bytes >> kShift) + 1);
    read.resize(written.size());
  }
  /// A new block has the memory.
  void clear() {
    written.assign(written.size(), kUnready);
    read.assign(read.size(), 0);
    count = 0;
  }
  /// Accesses with stamps below `floor` happened before whatever comes now.
  static uint32_t limit(uint32_t floor) { return floor ? floor : 1; }
  NotedRead& note() {
    if (count == noted.size())
      noted.resize(count ? 2 * count : 64);
    return noted[count++];
  }
  bool full() const { return count == kMostNoted; }
};

/// Sorts the noted reads into the block's cells.
void settleReads(Cta& cta);
/// [begin, end) was written, or a copy to it began or landed: the slots' state from what the bytes say.
void refreshSlots(Cta& cta, uint64_t begin, uint64_t end);

} // namespace moec::emulator
