#pragma once
// Schedules that were measured to be better than the cost model's: a file of JSON lines, the latest of which counts. Any number of processes may read it and
// add to it at once, and one that is killed at any moment takes at most its own last line with it. Knows files and words; no kernel, and not whether a schedule
// is legal: who uses one asks.

#include "runtime/core/Plan.h"

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace moec {

/// Bytes of a word of an entry, at most: lines are short.
inline constexpr size_t kLongestTuningText = 512;

struct TunedSchedule {
  std::string kernel; // KernelChoice::key: what it computes, for which target, by which version of the emitter
  std::string target; // "cpu:x86-64-v3"
  std::string cpu;    // cpuModel() of where it was measured
  std::string sizes;  // values of the kernel's symbols, "batch=8"; with semicolons between where there were several. Empty: it has none
  KernelSchedule schedule;
  double ratio = 1; // its time over the cost model's
  int threads = 0;  // of the measurement
  // For people. Long ones are cut off where they are written.
  std::string kind, layer;
  std::string date;  // "2026-01-31T12:00:00Z"
  std::string build; // of the moec that measured
};

/// What a file of them holds.
struct TuningContents {
  std::vector<TunedSchedule> entries; // the last of each (kernel, cpu, sizes), in the order of the file
  int lines = 0;                      // that are entries, those that later ones replace too
  int bad = 0;                        // lines that say something else; they are passed over
  int foreign = 0;                    // lines of another version of the format
  bool isTorn = false;                // the last line has no end: its writer was killed

  /// The schedules for a CPU by kernel: of those for several sizes, what was written last.
  std::map<std::string, KernelSchedule> schedulesFor(const std::string& cpu) const;
};

/// Takes any bytes.
TuningContents parseTuning(std::span<const uint8_t> bytes);

class TuningDatabase {
public:
  explicit TuningDatabase(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }
  /// Nothing of a file that is not there. Error(System) for one that cannot be read, or is larger than 64 MiB.
  TuningContents read() const;
  /// Makes the file and its folder where they are missing, and finds out now whether append() could write there. Errors as append()'s.
  void prepare() const;
  /// Adds the entries, all of them or, when the process dies, the first ones. Makes the file and its folder. A torn last line goes; where most lines are
  /// replaced by later ones, the file is written anew without them. Error(System) when it cannot be written or locked, Error(Data) for a file of something
  /// else, which stays as it is, Error(Internal) for an entry that read() would not take.
  void append(const std::vector<TunedSchedule>& entries) const;
  /// Removes the file; whether there was one. Error(System).
  bool clear() const;

private:
  std::filesystem::path path_;
};

} // namespace moec
