#pragma once
// Runs the cases of vectors/ (their form: vectors/README.md) through a driver's table of functions, whoever stands behind it: the emulator or a GPU.
// Knows the table and nothing else of moec.

#include "runtime/device/cuda/DriverTable.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace moec::emulator::test {

struct VectorCase {
  std::string file;
  int line = 0;
  std::string opcode, target = "sm_80";
  std::vector<std::string> types, inputs; // one instruction
  std::string body;                       // or a block of PTX
  std::vector<std::string> expected;
  double tolerance = 0;

  std::string name() const; // "memory.txt:66: atom"
  std::string ptx(bool laneByLane) const;
};

/// Every .txt of the folder, in the order of their names. Throws std::runtime_error for a file that cannot be read.
std::vector<VectorCase> readVectors(const std::filesystem::path& folder);

struct ReplayOptions {
  /// Lanes of a warp that change one word do so in an order of the GPU's own, and some results tell it. True: blocks of `atom` run for one lane after the
  /// other, which is the order that the cases name.
  bool laneByLane = false;
  std::function<std::string(cuda::Result)> why; // in words, of a call that failed
};

/// Why a case cannot run on a device of this compute capability; empty: it can.
std::string vectorNeeds(const VectorCase& c, int major, int minor);

/// Runs one case in the thread's current context. Empty: the results are the expected ones; else what was found and what was expected.
std::string replayVector(const VectorCase& c, const cuda::DriverTable& table, const ReplayOptions& options);

} // namespace moec::emulator::test
