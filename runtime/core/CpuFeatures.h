#pragma once
// What this CPU and the operating system give a process, in the compiler's words. What they answer is apart from what follows from it; knows no targets.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace moec {

/// What CPUID and the system answer.
struct CpuAnswers {
  unsigned basicC = 0, extendedB = 0, extendedD = 0, amdC = 0; // of leaf 1 ecx, of leaf 7 ebx and edx, of leaf 0x80000001 ecx
  uint64_t saved = 0;       // the registers that the system saves (XCR0): bits 1-2 xmm and ymm, 5-7 masks and zmm, 17-18 tiles
  std::string tilesRefusal; // why no process gets the registers of tiles; empty where one that asks does
};

CpuAnswers askCpu();

/// Features that any target needs, sorted; only those whose registers a process gets.
std::vector<std::string> featuresOf(const CpuAnswers& answers);

/// Why the tiles that the CPU has cannot be used; empty where they can, and where it has none.
std::string withheldTiles(const CpuAnswers& answers);

/// arch_prctl of Linux: 0 or an errno.
using ArchControl = std::function<int(int code, uintptr_t argument)>;

/// Why the system gives no process the registers of tiles; empty where it does.
std::string tilesRefusalOf(const ArchControl& control);

/// Asks for these registers, for the whole process: empty, or why it does not get them.
std::string requestTiles(const ArchControl& control);

/// The system's own.
int archControl(int code, uintptr_t argument);

} // namespace moec
