#include "runtime/device/cpu/CpuCount.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sched.h>
#include <sstream>
#include <string>
#include <thread>

namespace moec {
namespace {

namespace fs = std::filesystem;

/// Version 2: "max 100000" or "150000 100000".
std::optional<double> limitOfV2(const fs::path& folder) {
  std::ifstream file(folder / "cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0)
    return std::nullopt;
  double value = 0;
  if (!(std::istringstream(quota) >> value) || value <= 0)
    return std::nullopt;
  return value / period;
}

/// Version 1: the quota is -1 where there is none.
std::optional<double> limitOfV1(const fs::path& folder) {
  double quota = 0, period = 0;
  if (!(std::ifstream(folder / "cpu.cfs_quota_us") >> quota) || !(std::ifstream(folder / "cpu.cfs_period_us") >> period) || quota <= 0 || period <= 0)
    return std::nullopt;
  return quota / period;
}

bool hasWord(const std::string& list, const std::string& word) { return ("," + list + ",").find("," + word + ",") != std::string::npos; }

} // namespace

std::optional<double> cgroupCpuLimit(const fs::path& root) {
  std::ifstream file(root / "proc/self/cgroup"); // lines "id:controllers:/path"
  std::optional<double> least;
  auto take = [&](std::optional<double> limit) {
    if (limit && (!least || *limit < *least))
      least = limit;
  };
  for (std::string line; std::getline(file, line);) {
    size_t first = line.find(':'), second = line.find(':', first == std::string::npos ? first : first + 1);
    if (second == std::string::npos)
      continue;
    std::string controllers = line.substr(first + 1, second - first - 1);
    bool v2 = controllers.empty();
    if (!v2 && !hasWord(controllers, "cpu"))
      continue;
    fs::path mount = root / (v2 ? "sys/fs/cgroup" : "sys/fs/cgroup/cpu");
    // Inside a container the path may be the host's and absent here: then only the mount's own files are read.
    for (fs::path group = fs::path(line.substr(second + 1)).relative_path();; group = group.parent_path()) {
      take(v2 ? limitOfV2(mount / group) : limitOfV1(mount / group));
      if (group.empty())
        break;
    }
  }
  return least;
}

int usableCpus() {
  int count = static_cast<int>(std::thread::hardware_concurrency());
  // Machines may have more CPUs than cpu_set_t holds: the set grows until the kernel accepts it.
  for (int capacity = CPU_SETSIZE; capacity <= 1 << 18; capacity *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(capacity));
    size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(capacity));
    bool known = set && sched_getaffinity(0, bytes, set) == 0;
    if (known)
      count = CPU_COUNT_S(bytes, set);
    CPU_FREE(set);
    if (known)
      break;
  }
  if (auto limit = cgroupCpuLimit(); limit && *limit < count)
    count = static_cast<int>(std::ceil(*limit));
  return std::max(count, 1);
}

} // namespace moec
