#pragma once
// The state of running code: a block (CTA), its warps, the fragments a warp falls into when its lanes diverge, and the launch around
// them. What handlers see. Knows nothing of PTX text.

#include "runtime/emulator/Emulator.h"
#include "runtime/emulator/Program.h"
#include "runtime/emulator/machine/Memory.h"
#include "runtime/emulator/machine/SharedSlots.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

namespace moec::emulator {

struct Cta;
struct Launch;
struct Worker;

/// Lanes of a warp that are at one instruction.
struct Fragment {
  enum class State : uint8_t { Ready, AtBarrier, AtSync, Dead } state = State::Ready;
  uint32_t mask = 0, pc = 0;
  int join = -1;        // into Warp::joins: where it meets its siblings
  uint32_t arrived = 0; // AtSync: the lanes of `mask` whose guard holds
  uint32_t members = 0; // AtSync: the lanes named by the membermask
  uint32_t barrier = 0; // AtBarrier: which
};

/// Where the fragments of one divergent branch become one again.
struct Join {
  uint32_t expected = 0, arrived = 0, pc = 0;
  int parent = -1;
  bool used = false;
};

/// A cp.async that has not been waited for.
struct PendingCopy {
  uint32_t lane, group, address, bytes, pc;
  uint8_t data[16];
};

struct Warp {
  uint8_t* registers = nullptr;   // units of 128 bytes: 32 lanes of 4 bytes; 8-byte registers take two
  uint32_t* predicates = nullptr; // a bit per lane
  uint32_t* defined = nullptr;    // per register: a bit per lane
  uint32_t mask = 0;              // lanes that execute the current instruction
  uint32_t pc = 0;
  Cta* cta = nullptr;
  uint32_t index = 0;
  uint32_t alive = 0; // lanes that have not exited
  std::vector<Fragment> fragments;
  std::vector<Join> joins;
  std::vector<PendingCopy> copies;
  uint32_t committed[kLanes] = {}; // cp.async groups
  int current = -1;                // the fragment that runs

  template <class T> T* at(uint32_t unit) { return reinterpret_cast<T*>(registers + size_t(unit) * 128); }
};

struct Barrier {
  uint32_t arrived = 0, expected = 0; // threads; expected 0: all of the block that still run
  uint32_t waitingWarps = 0, participants = 0;
  uint32_t firstPc = kNowhere;
  bool counted = false; // the instruction names a thread count
  uint32_t popc = 0, andAll = 1, orAny = 0;
  std::vector<uint32_t> joined; // stamps of arrive-only participants
};

struct Cta {
  Launch* launch = nullptr;
  Worker* worker = nullptr;
  uint32_t id = 0, index[3] = {};
  std::vector<Warp> warps;
  Barrier barriers[16];
  uint32_t aliveThreads = 0;
  uint64_t executed = 0;
  uint64_t reports = 0;
  bool aborted = false;

  std::vector<uint8_t> registerFile, shared, sharedWritten, sharedPending, local, localWritten;
  std::vector<uint32_t> predicateFile, definedFile, sharedReaders;
  std::vector<Cell> sharedWriters, sharedReader;
  SharedSlots slots;
  uint32_t epoch = 0; // of the shared cells

  // Order of accesses.
  uint32_t stamp = 1;                                           // counts synchronisations of this block
  uint32_t floor = 0;                                           // every warp is synchronised with every other up to here
  std::vector<uint32_t> synced;                                 // [warp][warp]: beyond the floor, by partial barriers
  bool partial = false;                                         // `synced` is in use
  std::unordered_map<uint32_t, std::vector<uint32_t>> acquired; // other blocks' warps: what they did before that stamp is seen
  std::vector<uint32_t> warpFloor;                              // per warp: its lanes are synchronised with each other up to here
  std::vector<uint32_t> fenced;                                 // per warp: the stamp of its last fence, 0 none

  /// From now on the order is kept between single warps.
  void becomePartial() {
    if (!partial) {
      settleReads(*this);
      std::fill(sharedReaders.begin(), sharedReaders.end(), ~0u); // was not kept so far
    }
    partial = true;
  }
  uint32_t syncedWith(uint32_t me, uint32_t other) const {
    uint32_t stamp = me == other ? std::max(floor, warpFloor[me]) : floor;
    return partial ? std::max(stamp, synced[me * warps.size() + other]) : stamp;
  }
};

/// The range an access of one instruction may touch, found at launch.
struct Bounds {
  uint64_t begin = 0, end = 0; // 0, 0: it is one of `buffers`, or none is known and any of the memory's will do
  bool checkWritten = true, checkRaces = true;
  std::vector<Buffer*> buffers;
};

/// How the lanes' addresses of one instruction lay when it was executed: as a rule they lie so again, from another first address on, and what
/// follows from it need not be found again.
struct Pattern {
  uint32_t mask = 0;       // the lanes
  uint32_t bytes = 0;      // of an access; 0: nothing is known
  uint64_t delta[kLanes];  // from the first lane's address; of lanes not in the mask 0
  int64_t lowest, highest; // of the deltas
  Shape shape;
  bool aligned;                         // as the first lane is aligned, so are all
  bool apart;                           // no byte is touched by two lanes; known of writes
  uint8_t sectors[8];                   // by the first address's word within its sector; 0: not counted yet
  uint32_t wavefronts, idealWavefronts; // 0: not counted yet
};

/// Several of one instruction: with swizzled addresses a few come in turn.
struct Patterns {
  static constexpr uint32_t kWays = 8;
  Pattern ways[kWays];
  uint32_t last = 0, oldest = 0; // the one found last, and the one to be forgotten next
};

struct Worker {
  std::vector<uint64_t> issued, lanes, sectors, ideal, wavefronts, idealWavefronts, bytes;
  std::vector<Patterns> patterns; // by Instr::bounds
  Buffer* last = nullptr;
};

struct Launch {
  const Program* program = nullptr;
  Memory* memory = nullptr;
  const Options* options = nullptr;
  uint32_t grid[3], block[3];
  uint32_t threads = 0; // of a block
  uint32_t sharedBytes = 0, dynamicSharedBytes = 0;
  uint32_t epoch = 1;
  int globalShift = 2, sharedShift = 2; // log2 of the granule at which races are tracked
  std::vector<uint8_t> parameters;
  std::vector<Bounds> bounds;
  std::atomic<bool> fences{false};                                                            // some block has executed a fence
  std::mutex mutex;                                                                           // findings, releases
  std::unordered_map<uint64_t, Finding> findings;                                             // by instruction and kind
  std::unordered_map<uint64_t, std::unordered_map<uint32_t, std::vector<uint32_t>>> released; // by address: block -> stamps

  void report(Warp& warp, Finding::Kind kind, uint32_t lane, const std::string& detail, uint32_t pc = kNowhere);
};

/// The addresses of one memory instruction, and after the checks where they are on the host. Lanes that must not be touched have left
/// `mask`; addresses of lanes outside the mask mean nothing.
struct Access {
  uint64_t address[kLanes];
  uint8_t* base = nullptr;
  uint64_t laneStride = 0; // local memory: from one thread's frame to the next
  uint32_t mask = 0;
  Shape shape = Shape::Scattered; // after the checks
  uint8_t* host(int lane) const { return base + address[lane] + uint64_t(lane) * laneStride; }
};
enum class AccessKind : uint8_t { Read, Write, Atomic };

/// cp.async: what lands at a wait.
void queueCopy(Warp& warp, uint32_t lane, uint32_t address, const uint8_t* data, uint32_t dataBytes, uint32_t bytes);
void commitCopies(Warp& warp);
void waitCopies(Warp& warp, uint32_t newest, bool all);

/// membar / fence / bar.warp.sync as seen by the order of accesses.
void noteFence(Warp& warp, bool wide);
void noteWarpSync(Warp& warp, uint32_t lanes);
void noteAtomic(Warp& warp, const Access& access);

/// Runs a grid. Findings and counters are left in `launch` and `workers`.
void runLaunch(Launch& launch, std::vector<Worker>& workers);
/// Runs a block until it is done, or `budget` warp instructions are spent (then false).
bool runCta(Cta& cta, uint64_t budget);
void startCta(Cta& cta, Launch& launch, Worker& worker, uint32_t id);

} // namespace moec::emulator
