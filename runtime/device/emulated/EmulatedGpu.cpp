#include "runtime/device/emulated/EmulatedGpu.h"

#include "runtime/core/CudaTarget.h"
#include "runtime/core/Error.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/emulator/Emulator.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <mutex>

namespace moec {
namespace {

/// One for each line of the source and kind: a line is several instructions, and each of an unrolled loop is found anew.
std::vector<cuda::LaunchFinding> byLine(const std::vector<emulator::Finding>& findings) {
  std::vector<std::pair<const emulator::Finding*, int>> groups;
  for (const emulator::Finding& finding : findings) {
    auto same = std::ranges::find_if(groups, [&](const auto& group) {
      const emulator::Finding& first = *group.first;
      return finding.sourceLine > 0 && first.kind == finding.kind && first.kernel == finding.kernel && first.file == finding.file &&
             first.sourceLine == finding.sourceLine;
    });
    if (same == groups.end())
      groups.emplace_back(&finding, 0);
    else
      ++same->second;
  }
  std::vector<cuda::LaunchFinding> result;
  for (const auto& [first, more] : groups)
    result.push_back({first->text() + (more == 0 ? "" : fmt::format("; and {} more instruction{} of this line", more, more == 1 ? "" : "s")), first->file,
                      first->sourceLine});
  return result;
}

class EmulatorWatch : public cuda::LaunchWatch {
public:
  EmulatorWatch(emulator::Emulator& emulator, const DeviceOptions& options) : emulator_(emulator), options_(options) {}

  void beginBuffer(cuda::DevicePtr pointer, size_t bytes, const std::string& name) override { emulator_.registerBuffer(pointer, bytes, name); }
  void fillWithNan(cuda::DevicePtr pointer, size_t bytes) override { emulator_.table().setBytes(pointer, 0xff, bytes); }
  void endBuffer(cuda::DevicePtr pointer) override { emulator_.unregisterBuffer(pointer); }

  cuda::Result launch(const std::function<cuda::Result()>& launch, std::vector<cuda::LaunchFinding>& findings, std::string& problem) override {
    // Options and findings are the emulated device's, which all sessions of the process share: a launch has it alone.
    static std::mutex alone;
    std::lock_guard lock(alone);
    emulator::Options options = emulator_.options();
    options.checks = options_.checks;
    options.threads = options_.threads;
    options.maxInstructions = options_.maxInstructions ? options_.maxInstructions : emulator::Options{}.maxInstructions;
    emulator_.setOptions(options);
    emulator_.clearFindings();
    cuda::Result result = launch();
    findings = byLine(emulator_.findings());
    if (result != cuda::kSuccess)
      problem = emulator_.lastError();
    emulator_.clearFindings();
    return result;
  }

  std::string lastError() const override { return emulator_.lastError(); }

private:
  emulator::Emulator& emulator_;
  DeviceOptions options_;
};

} // namespace

std::shared_ptr<Device> openEmulatedDevice(const std::string& target, const DeviceOptions& options) {
  emulator::Emulator* emulator = emulator::Emulator::of(target);
  if (!emulator) {
    const std::vector<std::string>& known = emulator::Emulator::targets();
    throw Error(Fault::Usage,
                fmt::format("the PTX emulator {}; known: ptx-emulator:{}",
                            target.empty() ? "is named with what it emulates" : fmt::format("has no \"{}\"", target), fmt::join(known, ", ptx-emulator:")));
  }
  if (options.pool)
    throw Error(Fault::Usage, fmt::format("ptx-emulator:{} runs on threads of its own, not on a host's thread pool", target));
  return std::make_shared<CudaDevice>(CudaPlace{.name = "ptx-emulator:" + target,
                                                .table = &emulator->table(),
                                                .ordinal = 0,
                                                .ptxOnly = true,
                                                .watch = std::make_shared<EmulatorWatch>(*emulator, options)},
                                      options.allocator);
}

std::vector<DeviceDescription> listEmulatedDevices() {
  std::vector<DeviceDescription> list;
  for (const std::string& target : emulator::Emulator::targets()) {
    const CudaTarget* known = findCudaTarget("cuda:" + target);
    list.push_back({"ptx-emulator:" + target,
                    fmt::format("{} emulated on this CPU: runs the PTX of cuda:{}, finds accesses out of bounds, uninitialised reads, races; slow",
                                known ? known->chip : target, target),
                    true, ""});
  }
  return list;
}

} // namespace moec
