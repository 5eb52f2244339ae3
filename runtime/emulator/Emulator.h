#pragma once
// The PTX emulator: runs CUDA kernels, as the PTX that NVRTC or clang makes of them, on the CPU, behind the driver's table of functions,
// and reports what the hardware would let pass in silence. Stands alone: any program can use it to test its GPU code without a GPU.
// Knows nothing of moec but the driver table.

#include "runtime/device/cuda/DriverTable.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace moec::emulator {

/// Something a kernel does that is an error on a GPU, whether or not it would show there.
struct Finding {
  enum class Kind {
    OutOfBounds,
    Misaligned,
    Uninitialised,
    Race,
    DivergentSync,
    DivergentBarrier,
    Deadlock,
    PendingCopy,
    BadShuffle,
    Trap,
    Hang,
  };
  Kind kind;
  std::string kernel;
  int ptxLine = 0;
  std::string file; // the CUDA source, from -lineinfo; empty: not known
  int sourceLine = 0;
  uint32_t block[3] = {}, thread[3] = {};
  std::string instruction; // the PTX opcode
  std::string detail;      // what was found, what was allowed
  uint64_t times = 1;      // how often this instruction did this
  /// "kernel:file:line (ptx line): kind: detail, block (x,y,z) thread (x,y,z)"
  std::string text() const;
};
const char* nameOf(Finding::Kind kind);

/// What one instruction that touches memory did, summed over the launches.
struct AccessCounters {
  int ptxLine = 0, sourceLine = 0;
  std::string file, instruction;
  bool shared = false;
  uint64_t executed = 0;                        // by a warp
  uint64_t bytes = 0;                           // asked for by lanes
  uint64_t sectors = 0, ideal = 0;              // global: 32-byte sectors touched; as few as the bytes would need
  uint64_t wavefronts = 0, idealWavefronts = 0; // shared: passes over the banks
};

/// Sums over all launches of one kernel since the last reset.
struct KernelCounters {
  std::string kernel;
  uint64_t launches = 0;
  uint64_t warpInstructions = 0, laneInstructions = 0;
  std::vector<std::pair<std::string, uint64_t>> byKind; // warp instructions by kind of work
  uint64_t flops16 = 0, flops32 = 0, flops64 = 0;       // an FMA counts two
  uint64_t globalBytesRead = 0, globalBytesWritten = 0;
  uint64_t sectors = 0, idealSectors = 0;
  uint64_t bankConflicts = 0; // wavefronts over the ideal
  std::vector<AccessCounters> accesses;
};

struct Options {
  bool checks = true; // off: results only
  bool counters = true;
  bool bufferOfPointer = true;               // an access must stay in the buffer that its kernel parameter points into
  bool portable = false;                     // modules loaded from now on run without this machine's vector instructions
  int threads = 0;                           // host threads for blocks; 0: as many as this process may use
  uint64_t maxInstructions = 20'000'000'000; // warp instructions per launch, past them the kernel is taken to hang
  uint64_t maxReports = 20'000;              // a block that goes wrong this often is ended: nothing new is to be learnt
};

/// One emulated device. The targets are sm_80, sm_90a, sm_100a, sm_120.
class Emulator {
public:
  /// The device of a target, the same each time. nullptr for an unknown target.
  static Emulator* of(const std::string& target);
  static const std::vector<std::string>& targets();

  virtual ~Emulator() = default;
  virtual const cuda::DriverTable& table() = 0;
  virtual void setOptions(const Options& options) = 0;
  virtual Options options() const = 0;
  /// Declares that [pointer, pointer + bytes), part of an allocation, is a buffer of its own: accesses through a pointer into it must
  /// stay inside, and what no buffer of a divided allocation covers must not be touched. Its contents become uninitialised.
  virtual void registerBuffer(cuda::DevicePtr pointer, size_t bytes, const std::string& name) = 0;
  virtual void unregisterBuffer(cuda::DevicePtr pointer) = 0;
  /// Findings since the last clear, in order of kernel, PTX line and kind. A launch with findings returns an error code.
  virtual std::vector<Finding> findings() const = 0;
  virtual void clearFindings() = 0;
  virtual std::vector<KernelCounters> counters() const = 0;
  virtual void resetCounters() = 0;
  /// In words, why the last call of the table that failed did so.
  virtual std::string lastError() const = 0;
};

/// The driver table of an emulated device. Throws std::invalid_argument for an unknown target.
const cuda::DriverTable& emulatorTable(const std::string& target);

} // namespace moec::emulator
