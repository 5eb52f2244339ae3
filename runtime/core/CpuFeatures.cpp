#include "runtime/core/CpuFeatures.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace moec {

namespace {

constexpr int kGetSupported = 0x1021, kRequest = 0x1023; // ARCH_GET_XCOMP_SUPP, ARCH_REQ_XCOMP_PERM
constexpr int kTileData = 18;                            // XFEATURE_XTILEDATA
constexpr int kAmxTileBit = 24;                          // of leaf 7 edx

bool savesTiles(const CpuAnswers& answers) { return (answers.saved & 0x60000) == 0x60000; }

} // namespace

CpuAnswers askCpu() {
  CpuAnswers answers;
#if defined(__x86_64__)
  struct Registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
  };
  auto ask = [](unsigned leaf) {
    Registers r;
    __get_cpuid_count(leaf, 0, &r.a, &r.b, &r.c, &r.d);
    return r;
  };
  Registers basic = ask(1), extended = ask(7);
  answers.basicC = basic.c;
  answers.extendedB = extended.b;
  answers.extendedD = extended.d;
  answers.amdC = ask(0x80000001u).c;
  if (basic.c & (1u << 27)) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    answers.saved = uint64_t{high} << 32 | low;
  }
  if (savesTiles(answers))
    answers.tilesRefusal = tilesRefusalOf(archControl);
#endif
  return answers;
}

std::vector<std::string> featuresOf(const CpuAnswers& answers) {
  const auto& [basicC, extendedB, extendedD, amdC, saved, tilesRefusal] = answers;
  bool ymm = (saved & 0x6) == 0x6, zmm = ymm && (saved & 0xE0) == 0xE0, tiles = savesTiles(answers) && tilesRefusal.empty();
  std::vector<std::string> found;
  auto add = [&](const char* name, unsigned word, int bit, bool usable) {
    if (usable && (word >> bit & 1))
      found.emplace_back(name);
  };
  add("amx-bf16", extendedD, 22, tiles);
  add("amx-tile", extendedD, kAmxTileBit, tiles);
  add("avx2", extendedB, 5, ymm);
  add("avx512bw", extendedB, 30, zmm);
  add("avx512cd", extendedB, 28, zmm);
  add("avx512dq", extendedB, 17, zmm);
  add("avx512f", extendedB, 16, zmm);
  add("avx512vl", extendedB, 31, zmm);
  add("bmi1", extendedB, 3, true);
  add("bmi2", extendedB, 8, true);
  add("cx16", basicC, 13, true);
  add("f16c", basicC, 29, ymm);
  add("fma", basicC, 12, ymm);
  add("lzcnt", amdC, 5, true);
  add("movbe", basicC, 22, true);
  add("popcnt", basicC, 23, true);
  add("sahf", amdC, 0, true);
  add("sse3", basicC, 0, true);
  add("sse4.1", basicC, 19, true);
  add("sse4.2", basicC, 20, true);
  add("ssse3", basicC, 9, true);
  return found;
}

std::string withheldTiles(const CpuAnswers& answers) {
  if (!(answers.extendedD >> kAmxTileBit & 1))
    return {};
  return savesTiles(answers) ? answers.tilesRefusal : "the system does not save them";
}

std::string tilesRefusalOf(const ArchControl& control) {
  uint64_t supported = 0;
  if (int error = control(kGetSupported, reinterpret_cast<uintptr_t>(&supported)); error != 0)
    return fmt::format("the system does not tell whether it gives them: {}", std::strerror(error));
  return supported >> kTileData & 1 ? "" : "the system gives them to no process";
}

std::string requestTiles(const ArchControl& control) {
  int error = control(kRequest, kTileData);
  return error == 0 ? "" : std::strerror(error);
}

int archControl([[maybe_unused]] int code, [[maybe_unused]] uintptr_t argument) {
#if defined(__x86_64__) && defined(__linux__)
  return syscall(SYS_arch_prctl, code, argument) == 0 ? 0 : errno;
#else
  return ENOSYS;
#endif
}

} // namespace moec
