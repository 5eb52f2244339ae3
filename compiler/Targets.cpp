#include "compiler/Targets.h"

#include "runtime/core/CudaTarget.h"
#include "runtime/core/Error.h"
#include "runtime/core/NearestName.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace moec::compiler {

namespace {

/// Levels the CPU emitter knows, best first.
constexpr const char* cpuTargets[] = {"cpu:x86-64-v4", "cpu:x86-64-v3", "cpu:x86-64-v2"};

bool hostSupports(const std::string& target) {
  __builtin_cpu_init();
  if (target == "cpu:x86-64-v4")
    return __builtin_cpu_supports("x86-64-v4");
  if (target == "cpu:x86-64-v3")
    return __builtin_cpu_supports("x86-64-v3");
  return __builtin_cpu_supports("x86-64-v2");
}

std::string hostTarget() {
  for (const char* target : cpuTargets)
    if (hostSupports(target))
      return target;
  throw Error(Fault::Device, "this machine's CPU is below x86-64-v2, the least level that moec compiles for (SSE4.2 and POPCNT are needed); "
                             "name a target with --target to compile for another machine");
}

std::vector<std::string> knownTargets() {
  std::vector<std::string> known{"cpu", "cpu:x86-64-v2", "cpu:x86-64-v3", "cpu:x86-64-v4"};
  for (const CudaTarget& target : cudaTargets())
    known.push_back(target.name);
  return known;
}

/// "cuda", "gpu" and the like mean no target by themselves; "sm_90a" and "x86-64-v3" lack what stands before the colon.
std::string suggestion(const std::string& name) {
  std::vector<std::string> known = knownTargets();
  for (const std::string& target : known)
    if (target.substr(target.find(':') + 1) == name || target == name + "a") // "cuda:sm_90" is known in its form of one architecture
      return fmt::format("; did you mean \"{}\"?", target);
  if (name == "cuda" || name == "gpu" || name == "nvidia") {
    std::vector<std::string> chips;
    for (const CudaTarget& target : cudaTargets())
      chips.push_back(fmt::format("{} ({})", target.name, target.chip));
    return fmt::format("; a GPU is named with its architecture: {}", fmt::join(chips, ", "));
  }
  return didYouMean(name, known);
}

} // namespace

std::vector<std::string> resolveTargets(const std::vector<std::string>& names) {
  std::vector<std::string> wanted;
  auto add = [&](const std::string& target) {
    if (std::find(wanted.begin(), wanted.end(), target) == wanted.end())
      wanted.push_back(target);
  };
  if (names.empty()) {
    add(hostTarget());
    add("cpu:x86-64-v3");
  }
  for (const std::string& name : names) {
    if (name == "cpu")
      add(hostTarget());
    else if (std::find(std::begin(cpuTargets), std::end(cpuTargets), name) != std::end(cpuTargets) || findCudaTarget(name))
      add(name);
    else
      throw Error(Fault::Usage, fmt::format("unknown target \"{}\"{}; known: {}", name, suggestion(name), fmt::join(knownTargets(), ", ")));
  }
  auto rank = [](const std::string& target) { return std::pair(std::find(std::begin(cpuTargets), std::end(cpuTargets), target), target); };
  std::sort(wanted.begin(), wanted.end(), [&](const std::string& a, const std::string& b) { return rank(a) < rank(b); });
  return wanted;
}

} // namespace moec::compiler
