#include "runtime/core/CpuTarget.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
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

std::vector<std::string> probeFeatures() {
  std::vector<std::string> found;
#if defined(__x86_64__)
  struct Registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
  };
  auto ask = [](unsigned leaf) {
    Registers r;
    __get_cpuid_count(leaf, 0, &r.a, &r.b, &r.c, &r.d);
    return r;
  };
  Registers basic = ask(1), extended = ask(7), amd = ask(0x80000001u);
  // Which registers the operating system saves: bits 1-2 xmm and ymm, 5-7 masks and zmm, 17-18 tiles.
  uint64_t saved = 0;
  if (basic.c & (1u << 27)) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    saved = uint64_t{high} << 32 | low;
  }
  bool ymm = (saved & 0x6) == 0x6, zmm = ymm && (saved & 0xE0) == 0xE0, tiles = (saved & 0x60000) == 0x60000;
  auto add = [&](const char* name, unsigned word, int bit, bool usable) {
    if (usable && (word >> bit & 1))
      found.emplace_back(name);
  };
  add("amx-bf16", extended.d, 22, tiles);
  add("amx-tile", extended.d, 24, tiles);
  add("avx2", extended.b, 5, ymm);
  add("avx512bw", extended.b, 30, zmm);
  add("avx512cd", extended.b, 28, zmm);
  add("avx512dq", extended.b, 17, zmm);
  add("avx512f", extended.b, 16, zmm);
  add("avx512vl", extended.b, 31, zmm);
  add("bmi1", extended.b, 3, true);
  add("bmi2", extended.b, 8, true);
  add("cx16", basic.c, 13, true);
  add("f16c", basic.c, 29, ymm);
  add("fma", basic.c, 12, ymm);
  add("lzcnt", amd.c, 5, true);
  add("movbe", basic.c, 22, true);
  add("popcnt", basic.c, 23, true);
  add("sahf", amd.c, 0, true);
  add("sse3", basic.c, 0, true);
  add("sse4.1", basic.c, 19, true);
  add("sse4.2", basic.c, 20, true);
  add("ssse3", basic.c, 9, true);
#endif
  return found;
}

} // namespace

const std::vector<CpuTarget>& cpuTargets() {
  static const std::vector<CpuTarget> targets = {
      {"cpu:x86-64-v4+amx",
       {"amx-tile", "amx-bf16", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi1", "bmi2", "f16c", "lzcnt", "movbe"}},
      {"cpu:x86-64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi1", "bmi2", "f16c", "lzcnt", "movbe"}},
      {"cpu:x86-64-v3", {"avx2", "fma", "bmi1", "bmi2", "f16c", "lzcnt", "movbe"}},
      {"cpu:x86-64-v3+soft-tiles", {"avx2", "fma", "bmi1", "bmi2", "f16c", "lzcnt", "movbe"}},
      {"cpu:x86-64-v2", {"sse4.2", "sse4.1", "ssse3", "sse3", "popcnt", "cx16", "sahf"}},
  };
  return targets;
}

const std::vector<std::string>& cpuFeatures() {
  static const std::vector<std::string> features = probeFeatures();
  return features;
}

std::vector<std::string> missingFeatures(std::string_view target) {
  const auto& targets = cpuTargets();
  auto found = std::find_if(targets.begin(), targets.end(), [&](const CpuTarget& known) { return known.name == target; });
  if (found == targets.end())
    return {std::string(target)};
  std::vector<std::string> missing;
  for (const std::string& feature : found->features)
    if (!std::binary_search(cpuFeatures().begin(), cpuFeatures().end(), feature))
      missing.push_back(feature);
  return missing;
}

std::vector<std::string> runnableCpuTargets() {
  std::vector<std::string> names;
  for (const CpuTarget& target : cpuTargets())
    if (missingFeatures(target.name).empty())
      names.push_back(target.name);
  return names;
}

std::string nativeCpuTarget() {
  std::vector<std::string> names = runnableCpuTargets();
  return names.empty() ? "" : names.front();
}

void requestRegisters(std::string_view target) {
  const auto& targets = cpuTargets();
  auto found = std::find_if(targets.begin(), targets.end(), [&](const CpuTarget& known) { return known.name == target; });
  if (found == targets.end() || std::find(found->features.begin(), found->features.end(), "amx-tile") == found->features.end())
    return;
#if defined(__x86_64__) && defined(__linux__)
  constexpr long askForState = 0x1023, tileData = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const int refusal = syscall(SYS_arch_prctl, askForState, tileData) == 0 ? 0 : errno;
  if (refusal == 0)
    return;
  throw Error(Fault::Device, fmt::format("the system does not give this process the registers of tiles (AMX) that {} needs: {}; compile for another target",
                                         target, std::strerror(refusal)));
#else
  throw Error(Fault::Device, fmt::format("{} needs the registers of tiles (AMX), which no process of this system is known to get", target));
#endif
}

std::string cpuModel() {
#if defined(__x86_64__)
  unsigned words[12] = {}, most = __get_cpuid_max(0x80000000u, nullptr);
  if (most < 0x80000004u)
    return {};
  for (unsigned leaf = 0; leaf < 3; ++leaf)
    __get_cpuid(0x80000002u + leaf, &words[4 * leaf], &words[4 * leaf + 1], &words[4 * leaf + 2], &words[4 * leaf + 3]);
  char text[sizeof(words) + 1] = {};
  std::memcpy(text, words, sizeof(words));
  std::string name = text;
  name.erase(0, name.find_first_not_of(' '));
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
#else
  return {};
#endif
}

} // namespace moec
