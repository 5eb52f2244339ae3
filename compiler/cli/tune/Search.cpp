#include "compiler/cli/tune/Search.h"

namespace moec::cli {

namespace {

constexpr double kSmall = 20e-6;     // seconds of a call
constexpr double kSmallShare = 0.01; // of a call's kernels

int64_t widthOf(const KernelSchedule& schedule) {
  auto nr = schedule.find("nr");
  return nr == schedule.end() ? 0 : nr->second;
}

} // namespace

std::optional<KernelSchedule> Search::next() const {
  for (const KernelSchedule& candidate : choice.candidates)
    if (!tried.contains(candidate) && !(keepsWidth && widthOf(candidate) != widthOf(choice.schedule)))
      return candidate;
  return {};
}

std::set<std::string> largeOnes(const KernelTimes& times) {
  double all = 0;
  for (const auto& [key, time] : times)
    all += time;
  std::set<std::string> large;
  for (const auto& [key, time] : times)
    if (time >= kSmall && time >= kSmallShare * all)
      large.insert(key);
  return large;
}

Schedules nextCandidates(const std::map<std::string, Search>& searches) {
  Schedules large, small;
  for (const auto& [key, search] : searches)
    if (auto candidate = search.next())
      (search.isSmall ? small : large)[key] = *candidate;
  return large.empty() ? small : large;
}

} // namespace moec::cli
