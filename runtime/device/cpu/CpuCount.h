#pragma once
// How many threads this process may keep busy.

#include <filesystem>
#include <optional>

namespace moec {

/// CPUs of the affinity mask, lowered by the cgroup's quota (rounded up); at least 1.
int usableCpus();

/// The cgroup's CPU quota in CPUs, the least of the group and its parents. `root` stands for "/" in tests.
std::optional<double> cgroupCpuLimit(const std::filesystem::path& root = "/");

} // namespace moec
