#pragma once
// The CPU targets that kernels are compiled for, and which of them this machine runs. Asks the CPU and the operating system, never assumes.

#include <string>
#include <string_view>
#include <vector>

namespace moec {

struct CpuTarget {
  std::string name;                  // "cpu:x86-64-v4"
  std::vector<std::string> features; // what it needs, in the compiler's words
};

/// Best first. Of those that replace instructions by other code ("+soft-avx512", "+soft-tiles"), none is before the target without.
const std::vector<CpuTarget>& cpuTargets();

/// Features of this machine that any target needs, sorted; only those whose registers a process gets.
const std::vector<std::string>& cpuFeatures();

/// Why this machine's tiles (AMX) cannot be used; empty where they can, and where it has none.
std::string withheldTiles();

/// Features that the target needs and this machine lacks; for an unknown target, its name.
std::vector<std::string> missingFeatures(std::string_view target);

/// Whether its programs may multiply by tiles, whose registers the system gives to those alone that ask for them.
bool hasTileRegisters(std::string_view target);

/// Asks the system for the registers of tiles, where the target has them: before the first of their instructions, once for the process. Error(Device) where
/// it refuses.
void requestRegisters(std::string_view target);

/// What the CPU calls itself; empty where it does not say. Schedules that were tuned on it are found by this.
std::string cpuModel();

/// The targets that this machine runs, best first.
std::vector<std::string> runnableCpuTargets();

/// The best of them; empty when there is none.
std::string nativeCpuTarget();

} // namespace moec
