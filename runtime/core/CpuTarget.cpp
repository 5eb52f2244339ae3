#include "runtime/core/CpuTarget.h"

#include "runtime/core/CpuFeatures.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace moec {
namespace {

const CpuAnswers& answers() {
  static const CpuAnswers asked = askCpu();
  return asked;
}

} // namespace

const std::vector<CpuTarget>& cpuTargets() {
  static const std::vector<CpuTarget> targets = {
      {"cpu:x86-64-v4+amx",
       {"amx-tile", "amx-bf16", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi1", "bmi2", "f16c", "lzcnt", "movbe"}},
      {"cpu:x86-64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi1", "bmi2", "f16c", "lzcnt", "movbe"}},
      {"cpu:x86-64-v3", {"avx2", "fma", "bmi1", "bmi2", "f16c", "lzcnt", "movbe"}},
      {"cpu:x86-64-v3+soft-avx512", {"avx2", "fma", "bmi1", "bmi2", "f16c", "lzcnt", "movbe"}},
      {"cpu:x86-64-v3+soft-tiles", {"avx2", "fma", "bmi1", "bmi2", "f16c", "lzcnt", "movbe"}},
      {"cpu:x86-64-v2", {"sse4.2", "sse4.1", "ssse3", "sse3", "popcnt", "cx16", "sahf"}},
  };
  return targets;
}

const std::vector<std::string>& cpuFeatures() {
  static const std::vector<std::string> features = featuresOf(answers());
  return features;
}

std::string withheldTiles() { return withheldTiles(answers()); }

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

bool hasTileRegisters(std::string_view target) {
  const auto& targets = cpuTargets();
  auto found = std::find_if(targets.begin(), targets.end(), [&](const CpuTarget& known) { return known.name == target; });
  return found != targets.end() && std::find(found->features.begin(), found->features.end(), "amx-tile") != found->features.end();
}

void requestRegisters(std::string_view target) {
  if (!hasTileRegisters(target))
    return;
  static const std::string refusal = requestTiles(archControl);
  if (!refusal.empty())
    throw Error(Fault::Device, fmt::format("the system does not give this process the registers of tiles (AMX) that {} needs: {}; compile for another target",
                                           target, refusal));
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
