#include "runtime/device/Device.h"

#include "runtime/Compile.h"
#include "runtime/core/CpuTarget.h"
#include "runtime/core/Error.h"
#include "runtime/core/NearestName.h"
#include "runtime/device/HostMemory.h"
#include "runtime/device/check/CheckDevice.h"
#include "runtime/device/cpu/CpuCount.h"
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/emulated/EmulatedGpu.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

namespace moec {
namespace {

constexpr size_t kLongestName = 200; // bounds the depth of check(check(...))

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ')
    text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ')
    text.remove_suffix(1);
  return text;
}

/// Place of the comma between the two arguments, or npos.
size_t findComma(std::string_view arguments) {
  int depth = 0;
  for (size_t i = 0; i < arguments.size(); ++i) {
    depth += arguments[i] == '(';
    depth -= arguments[i] == ')';
    if (arguments[i] == ',' && depth == 0)
      return i;
  }
  return std::string_view::npos;
}

/// The N of "cuda:N".
std::optional<int> ordinalOf(std::string_view text) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0)
    return {};
  return value;
}

std::shared_ptr<Device> open(std::string_view name, const DeviceOptions& options) {
  name = trim(name);
  if (name == "cpu")
    return std::make_shared<CpuDevice>(options);
  if (name == "reference")
    return compilerLibrary().referenceDevice();
  constexpr std::string_view kCuda = "cuda:", kEmulator = "ptx-emulator:";
  if (name == "ptx-emulator")
    return openEmulatedDevice("", options);
  if (name.starts_with(kCuda))
    if (auto ordinal = ordinalOf(name.substr(kCuda.size())))
      return openCudaDevice(*ordinal, options);
  if (name.starts_with(kEmulator))
    return openEmulatedDevice(std::string(name.substr(kEmulator.size())), options);
  if (name.starts_with("check(") && name.ends_with(")")) {
    std::string_view arguments = name.substr(6, name.size() - 7);
    size_t comma = findComma(arguments);
    if (comma != std::string_view::npos)
      return std::make_shared<CheckDevice>(open(arguments.substr(0, comma), options), open(arguments.substr(comma + 1), options));
  }
  throw Error(Fault::Usage,
              fmt::format("unknown device \"{}\"{}; known: cpu, cuda:N (a GPU by its number), ptx-emulator:TARGET such as ptx-emulator:sm_90a, reference, "
                          "check(A,B) such as check(cpu,reference)",
                          name, didYouMean(name, {"cpu", "cuda:0", "ptx-emulator:sm_90a", "reference"})));
}

} // namespace

std::shared_ptr<Device> openDevice(const std::string& name, const DeviceOptions& options) {
  if (name.size() > kLongestName)
    throw Error(Fault::Usage, fmt::format("a device's name has at most {} characters", kLongestName));
  checkAllocator(options.allocator);
  return open(name, options);
}

std::vector<DeviceDescription> listDevices() {
  std::vector<std::string> runnable = runnableCpuTargets();
  std::string native = runnable.empty() ? "" : fmt::format("{}", fmt::join(runnable, ", "));
  DeviceDescription cpu{"cpu",
                        fmt::format("{} thread{}, runs {}; features: {}", usableCpus(), usableCpus() == 1 ? "" : "s", native.empty() ? "no target" : native,
                                    fmt::join(cpuFeatures(), " ")),
                        !native.empty(), native.empty() ? fmt::format("this CPU lacks {}", fmt::join(missingFeatures(cpuTargets().back().name), ", ")) : ""};
  std::string missing = missingCompilerLibrary();
  DeviceDescription reference{"reference", "plain loops over the program's unfused operations, sums in double", missing.empty(), missing};
  DeviceDescription check{"check(A,B)", "runs A and B in lock-step and compares every launch, such as check(cpu,reference)", true, ""};
  std::vector<DeviceDescription> list{cpu};
  for (auto more : {listCudaDevices(), listEmulatedDevices(), std::vector{reference, check}})
    list.insert(list.end(), more.begin(), more.end());
  return list;
}

} // namespace moec
