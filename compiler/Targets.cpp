#include "compiler/Targets.h"

#include "runtime/core/CpuTarget.h"
#include "runtime/core/CudaTarget.h"
#include "runtime/core/Error.h"
#include "runtime/core/NearestName.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ranges>

namespace moec::compiler {

namespace {

std::string hostTarget() {
  std::string native = nativeCpuTarget();
  if (native.empty())
    throw Error(Fault::Device, "this machine's CPU is below x86-64-v2, the least level that moec compiles for (SSE4.2 and POPCNT are needed); "
                               "name a target with --target to compile for another machine");
  return native;
}

/// Its place among the CPU targets, best first; behind them all where it is none.
size_t rankOf(const std::string& target) { return std::ranges::find(cpuTargets(), target, &CpuTarget::name) - cpuTargets().begin(); }

std::vector<std::string> knownTargets() {
  std::vector<std::string> known{"cpu"};
  for (const CpuTarget& target : std::views::reverse(cpuTargets()))
    known.push_back(target.name);
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
    std::string host = hostTarget();
    add(host);
    add(host.substr(0, host.find('+'))); // its level alone, for machines without what comes with it
    add("cpu:x86-64-v3");
  }
  for (const std::string& name : names) {
    if (name == "cpu")
      add(hostTarget());
    else if (rankOf(name) < cpuTargets().size() || findCudaTarget(name))
      add(name);
    else
      throw Error(Fault::Usage, fmt::format("unknown target \"{}\"{}; known: {}", name, suggestion(name), fmt::join(knownTargets(), ", ")));
  }
  std::ranges::sort(wanted, {}, [](const std::string& target) { return std::pair(rankOf(target), target); });
  return wanted;
}

} // namespace moec::compiler
