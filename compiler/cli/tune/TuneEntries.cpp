#include "compiler/cli/tune/TuneEntries.h"

#include "moec_build_id.h"
#include "runtime/core/CpuTarget.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <ranges>

namespace moec::cli {

namespace {

/// Whether the entry that compilations take for this kernel is one of the same sizes.
bool isKnown(const TunedKernel& kernel, const TuningContents& before, const std::string& cpu) {
  for (const TunedSchedule& entry : std::views::reverse(before.entries)) // the last of several sizes counts
    if (entry.kernel == kernel.key && entry.cpu == cpu)
      return entry.sizes == kernel.sizes;
  return false;
}

} // namespace

std::vector<TunedSchedule> entriesOf(const TuneResult& result, const TuningContents& before, int threads) {
  std::string cpu = cpuModel(), date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  std::vector<TunedSchedule> entries;
  for (const TunedKernel& kernel : result.kernels)
    if (kernel.isTuned() || (kernel.isRefuted && isKnown(kernel, before, cpu)))
      entries.push_back({.kernel = kernel.key,
                         .target = kernel.target,
                         .cpu = cpu,
                         .sizes = kernel.sizes,
                         .schedule = kernel.tuned,
                         .ratio = kernel.ratio(),
                         .threads = threads,
                         .kind = kernel.kind,
                         .layer = kernel.layer,
                         .date = date,
                         .build = sourceId()});
  return entries;
}

} // namespace moec::cli
